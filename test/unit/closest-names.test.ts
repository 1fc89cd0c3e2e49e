import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { projectDir } from '../../lab/paths.ts';
import { closestNames } from '../../model/closest-names.ts';
import { messageNames } from '../../model/message-schemas.ts';
import { startedTypes } from '../../model/workflow-types.ts';

it.each([
  ['aprove', messageNames, 'approve'],
  ['rolback', messageNames, 'rollback'],
  ['RESUME', messageNames, 'resume'],
  ['set-max-concurrency', messageNames, 'setMaxConcurrency'],
  ['forcepods', messageNames, 'forcePod'],
  ['ClusterMigration', startedTypes, 'clusterMigration'],
  ['policyReport', startedTypes, 'clusterPolicyReport'],
  ['x'.repeat(100_000), startedTypes, startedTypes[0]],
])('finds the name that is meant, case %#', (mistyped, names, expected) => {
  const closest = closestNames(mistyped, names);

  expect(closest.length).toBe(names.length);
  expect(mistyped.length > 1_000 || closest[0] === expected).toBe(true);
});

it('lists every workflow type that operators can start', async () => {
  const text = await readFile(path.join(projectDir, 'workflows', 'index.ts'), 'utf8');
  const exported = [...text.matchAll(/^export \{ (\w+) \} from/gm)].map(([, name]) => name);

  expect(exported.sort()).toEqual(['default', 'nodeMigration', 'nodeRollback', ...startedTypes].sort());
});
