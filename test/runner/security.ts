import { checks, type Check } from './checks.ts';
import { suites, type Suite } from './suites.ts';

/** Test files of the attacks in docs/security.md, by project, and folders with tests in Go. */
export const securityFiles = {
  unit: [
    ...['activity-rules', 'allowed-images', 'approvals', 'authority', 'chart-source', 'cluster-policy', 'codec'],
    ...['deployment', 'detect', 'encryption', 'errors', 'health', 'helper-security', 'interceptors'],
    ...['ledger-records', 'plan', 'policies', 'policy-thread', 'printable', 'program-output'],
    ...['redaction', 'unsafe-settings', 'untrusted', 'vulnerability-check', 'worker-config'],
  ],
  workflow: [
    ...['authenticated-approvals', 'fleet-runs', 'messages-bound', 'messages-fuzz', 'messages-keys'],
    ...['messages-payloads', 'plan-digest'],
  ],
  api: [
    ...['admission', 'approvals', 'canal', 'gates', 'helm', 'helper-namespace', 'hostile-input', 'identity-bridge'],
    ...['sbom', 'stack'],
  ],
  go: ['images/coexistence', 'images/prober'],
} as const;

/** Returns the suite of a project's files. */
function securitySuite(project: 'unit' | 'workflow' | 'api', more: Omit<Suite, 'name' | 'tier' | 'project'>): Suite {
  const only = `test/${project}/(${securityFiles[project].join('|')})\\.test\\.ts$`;
  return { name: `security-${project}`, tier: 'all', project, only, ...more };
}

/** The suites of `npm run test:security`: the attacks of docs/security.md, and Temporal as the Compose file has it. */
export const securitySuites: readonly Suite[] = [
  securitySuite('unit', { workers: 4, usualMinutes: 1 }),
  securitySuite('workflow', { workers: 2, tools: 'control plane', usualMinutes: 4 }),
  securitySuite('api', { tools: 'stack', usualMinutes: 12 }),
  ...suites.filter(({ name }) => name === 'workflow-server'),
];

/** The checks of `npm run test:security`. */
export const securityChecks: readonly Check[] = checks.filter(({ name }) =>
  securityFiles.go.some((folder) => name === `go test ${folder}`)
);
