import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { parseAllDocuments } from 'yaml';

/** deploy/worker.yaml: what the worker in its own cluster may do, and who reaches it. */
interface Manifest {
  kind: string;
  metadata: { name: string };
  data?: Record<string, string>;
  spec?: { template: { spec: PodSpec } };
}

interface PodSpec {
  securityContext: object;
  containers: {
    env: { name: string; value?: string }[];
    envFrom: { configMapRef?: { name: string } }[];
    livenessProbe?: object;
    readinessProbe?: object;
    resources: object;
    securityContext: object;
  }[];
}

let manifests: Manifest[];
let pod: PodSpec;
beforeAll(async () => {
  const text = await readFile(path.resolve(import.meta.dirname, '..', '..', 'deploy', 'worker.yaml'), 'utf8');
  manifests = [...parseAllDocuments(text)].map((document) => document.toJS() as Manifest);
  const found = manifests.find(({ kind }) => kind === 'Deployment')?.spec?.template.spec;
  if (found === undefined) throw new Error('deploy/worker.yaml has no Deployment');
  pod = found;
});

it('gives the worker no privilege that it does not need, and a limit', () => {
  expect(pod.securityContext).toMatchObject({ runAsNonRoot: true, seccompProfile: { type: 'RuntimeDefault' } });
  expect(pod.containers).toMatchObject([
    {
      securityContext: {
        allowPrivilegeEscalation: false,
        readOnlyRootFilesystem: true,
        capabilities: { drop: ['ALL'] },
      },
      resources: { limits: { memory: expect.any(String) as string } },
      livenessProbe: { httpGet: { path: '/livez' } },
      readinessProbe: { httpGet: { path: '/readyz' } },
    },
  ]);
});

it('listens on the loopback address of its node only', () => {
  const addresses = pod.containers.flatMap(({ env }) => env).filter(({ name }) => name.endsWith('_ADDRESS'));
  expect(addresses.map(({ name }) => name).sort()).toEqual([
    'CNI_MIGRATION_HEALTH_ADDRESS',
    'CNI_MIGRATION_METRICS_ADDRESS',
  ]);
  for (const address of addresses) expect(address.value).toMatch(/^127\.0\.0\.1:/);
});

it('takes its environment from a ConfigMap that has no files', () => {
  const sources = pod.containers.flatMap(({ envFrom }) => envFrom).flatMap(({ configMapRef }) => configMapRef ?? []);
  expect(sources).toHaveLength(1);
  for (const { name } of sources) {
    const variables = manifests.find(({ kind, metadata }) => kind === 'ConfigMap' && metadata.name === name)?.data;
    expect(Object.keys(variables ?? {})).toContain('TEMPORAL_ADDRESS');
    for (const variable of Object.keys(variables ?? {})) expect(variable).toMatch(/^[A-Z_]+$/);
  }
});
