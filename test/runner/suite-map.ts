import { existsSync } from 'node:fs';
import path from 'node:path';
import { projectDir } from '../../lab/paths.ts';
import { suites, suitesOfTier } from './suites.ts';

/**
 * Suites that only `npm run test:all` runs: `workflow` plays some of the scenarios, other labs migrate with iptables, and
 * bills of materials are needed for a release.
 */
const onlyInAll = ['workflow-any-order', 'lab-nftables', 'api-release'];

/** Suites that are only in the tier "all", and run when their sources have changed. */
const beyondCore = suites
  .filter((suite) => !suitesOfTier('core').includes(suite) && !onlyInAll.includes(suite.name))
  .map(({ name }) => name);
/** All except the one that only tests the use of tools from a bundle. */
const labs = beyondCore.filter((name) => name.startsWith('lab-') && name !== 'lab-prebuilt');
/** Suites that migrate nodes. */
const migrations = labs.filter((name) => name !== 'lab-lifecycle');
/** Suites on the server of docker-compose.yml. */
const servers = ['workflow-server', 'api-stack'];

/**
 * Suites beyond the tier "core" that test the files below a path. The longest path that matches a file is used. A file
 * without a match may affect every suite.
 */
export const suitesByPath: Readonly<Record<string, readonly string[]>> = {
  'workflows/': ['workflow-server', ...migrations],
  'model/': migrations,
  'model/markdown/': [],
  'model/policies': ['lab-policy'],
  'model/waves': [],
  'model/maintenance-windows': [],
  'model/step-times': [],
  'activities/': labs,
  'client/': ['lab-demo', 'api-stack'],
  'cni-migrate': ['lab-demo'],
  'temporal/': [...migrations, ...servers],
  'temporal/codec-server/': ['api-stack'],
  'worker/': ['lab-crash', 'lab-demo', ...servers],
  'images/prober/': ['lab-two-nodes', 'lab-crash', 'lab-policy'],
  'images/coexistence/': ['lab-policy', 'lab-crash'],
  'deploy/': ['lab-crash', 'lab-two-nodes', ...servers],
  Dockerfile: ['api-stack'],
  'docker-compose.yml': servers,
  '.env.example': ['api-stack'],
  '.dockerignore': ['api-stack'],
  'lab/': [...labs, 'lab-prebuilt'],
  'lab/demo/': ['lab-demo'],
  'lab/tools/go/compose/': ['api-stack'],
  'lab/tools/go/temporal-server/': servers,
  'lab/tools/go/kwok/': [],
  'test/api/': [],
  'test/api/stack': ['api-stack'],
  'test/api/web-ui': ['api-stack'],
  'test/histories/': [],
  'test/lab/': labs,
  ...Object.fromEntries(labs.map((name) => [`test/lab/${name.replace('lab-', '')}`, [name]])),
  'test/lab/prebuilt': ['lab-prebuilt'],
  'test/lab/migration.test.ts': [],
  'test/lab/nftables': [],
  'test/policy-matrix/': ['lab-policy'],
  'test/runner/': [],
  'test/setup/': [],
  'test/support/': labs,
  'test/support/any-order/': [],
  'test/support/browser': ['api-stack'],
  'test/support/chart/': [],
  'test/support/compose-stack': ['api-stack'],
  'test/support/debian-root': ['api-stack'],
  'test/support/docs': [],
  'test/support/crashing-worker': ['lab-crash'],
  'test/support/event-loop': [],
  'test/support/fake-': [],
  'test/support/many-policies': [],
  'test/support/nft-tables': [],
  'test/support/short-heartbeats': ['lab-crash'],
  'test/support/pack-tools': [],
  'test/support/prepared-bundles': [],
  'test/support/service-connections': [],
  'test/support/policy-': ['lab-policy'],
  'test/support/whole-migration': ['lab-rollbacks'],
  'test/support/record-histories': [],
  'test/support/repeat': [],
  'test/support/history-scenarios': [],
  'test/support/production-server': ['workflow-server'],
  'test/support/versioning-cases': ['workflow-server'],
  'test/support/workflow-builds': ['workflow-server'],
  'test/support/sample-tools': [],
  'test/support/time-limits': [],
  'test/support/workflow-server': servers,
  'test/unit/': [],
  'test/workflow/': [],
  'test/workflow/production-server': ['workflow-server'],
  'test/bench/': [],
  'scripts/': ['lab-demo'],
  'scripts/sbom': [],
  'scripts/check-vulnerabilities': [],
  'scripts/vulnerability-reports': [],
  'docs/': [],
  'README.md': [],
  'SECURITY.md': [],
  'CONTRIBUTING.md': [],
  'CHANGELOG.md': [],
  '.ci/': [],
  '.gitignore': [],
  '.prettierignore': [],
  '.prettierrc.json': [],
  '.dependency-cruiser.mjs': [],
  'eslint.config.mjs': [],
  'jest.config.mjs': [],
  'tsconfig.json': [],
};

/**
 * Returns the names of the suites beyond the tier "core" that test changed files.
 * @param files undefined when unknown
 * @param exists whether a file is still there. A removed file outside the map affects nothing: what used it has changed,
 *   too.
 */
export function suitesForChanges(
  files: readonly string[] | undefined,
  exists = (file: string): boolean => existsSync(path.join(projectDir, file))
): ReadonlySet<string> {
  if (files === undefined) return new Set(beyondCore);
  return new Set(files.flatMap((file) => suitesByPath[pathFor(file)] ?? (exists(file) ? beyondCore : [])));
}

/** Returns the longest path of the map that matches a file; empty when there is none. */
function pathFor(file: string): string {
  const matching = Object.keys(suitesByPath).filter((start) => file.startsWith(start));
  return matching.reduce((longest, start) => (start.length > longest.length ? start : longest), '');
}
