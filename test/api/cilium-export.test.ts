import { randomBytes } from 'node:crypto';
import { gunzipSync } from 'node:zlib';
import type { KubernetesObject, V1ConfigMap } from '@kubernetes/client-node';
import { ownedLabels } from '../../activities/kubernetes/names.ts';
import { cniChainName } from '../../model/names.ts';
import { createLabActivities } from '../support/activity.ts';
import { useLab } from '../support/lab.ts';
import { apply, ciliumCrd, get } from '../support/objects.ts';

const lab = useLab({ nodes: 0 });
const cluster = () => ({ cluster: lab().layout.context });
const namespace = 'kube-system';

const custom = (kind: string, metadata: object) => ({ apiVersion: 'cilium.io/v2', kind, metadata, spec: {} });
const policy = (name: string, more: object = {}) =>
  custom('CiliumNetworkPolicy', { name, namespace: 'default', ...more });
const cniChain = { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: cniChainName, namespace } };

async function applyDefinitions(): Promise<void> {
  await apply(
    lab(),
    ciliumCrd('CiliumNetworkPolicy', 'ciliumnetworkpolicies', 'Namespaced'),
    ciliumCrd('CiliumLoadBalancerIPPool', 'ciliumloadbalancerippools', 'Cluster'),
    ciliumCrd('CiliumIdentity', 'ciliumidentities', 'Cluster')
  );
  await lab().kubectl('wait', '--for=condition=Established', 'crd', '--all', '--timeout=60s');
}

const configMaps = async (): Promise<string[]> => {
  const text = await lab().kubectl('get', 'configmap', '-n', namespace, '-o', 'name');
  return text.split('\n').filter((name) => name.includes('cilium-export'));
};

async function readExport(names: readonly string[]): Promise<KubernetesObject[]> {
  const parts: Buffer[] = [];
  for (const name of names) {
    const { binaryData } = await get<V1ConfigMap>(lab(), 'configmap', '-n', namespace, name.split('/')[1] ?? '');
    parts.push(Buffer.from(Object.values(binaryData ?? {})[0] ?? '', 'base64'));
  }
  const lines = gunzipSync(Buffer.concat(parts)).toString().trim().split('\n');
  return lines.map((line) => JSON.parse(line) as KubernetesObject);
}

beforeAll(async () => {
  await applyDefinitions();
});

it('exports nothing where no migration installed Cilium', async () => {
  await apply(lab(), policy('web'));

  const { exportCilium, removeCiliumTraces } = createLabActivities(lab());
  await removeCiliumTraces(cluster());

  expect(await exportCilium(cluster())).toEqual({ configMaps: [], total: 0, objects: [] });
  expect(await configMaps()).toEqual([]);
  await lab().kubectl('get', 'ciliumnetworkpolicies.cilium.io', '-n', 'default', 'web');
});

it("exports the users' objects, and neither ours nor generated ones", async () => {
  const owner = { apiVersion: 'v1', kind: 'Service', name: 'x', uid: 'no-such-uid', controller: true };
  await apply(
    lab(),
    cniChain,
    policy('translated', { labels: ownedLabels }),
    policy('generated', { ownerReferences: [owner] }),
    custom('CiliumLoadBalancerIPPool', { name: 'public' }),
    custom('CiliumIdentity', { name: '4711' })
  );

  const exported = await createLabActivities(lab()).exportCilium(cluster());

  const names = ['CiliumLoadBalancerIPPool public', 'CiliumNetworkPolicy default/web'];
  expect(exported).toEqual({
    configMaps: [`${namespace}/cilium-export-0`],
    total: 2,
    objects: expect.anything() as [],
  });
  expect([...exported.objects].sort()).toEqual(names);
  const objects = await readExport(exported.configMaps);
  expect(objects.map(({ kind, metadata }) => `${kind} ${metadata?.name}`).sort()).toEqual([
    'CiliumLoadBalancerIPPool public',
    'CiliumNetworkPolicy web',
  ]);
  expect(objects.every(({ metadata }) => metadata?.uid === undefined)).toBe(true);
});

it('replaces a larger export as a whole', async () => {
  const blobs = Array.from({ length: 12 }, () => randomBytes(60_000).toString('base64'));
  await apply(lab(), ...blobs.map((blob, index) => policy(`large-${index}`, { annotations: { blob } })));
  const { exportCilium } = createLabActivities(lab());
  expect((await exportCilium(cluster())).configMaps.length).toBeGreaterThan(1);
  const largeNames = blobs.map((_, index) => `large-${index}`);
  await lab().kubectl('delete', 'ciliumnetworkpolicies.cilium.io', '-n', 'default', ...largeNames);

  const { configMaps: names, total } = await exportCilium(cluster());

  expect(total).toBe(2);
  expect(names).toHaveLength(1);
  expect(await configMaps()).toHaveLength(1);
});

it('exports objects that are newer than the export before it removes their definitions, and loses none', async () => {
  const { exportCilium, removeCiliumTraces } = createLabActivities(lab());
  await apply(lab(), policy('late'));

  await removeCiliumTraces(cluster());

  const text = await lab().kubectl('get', 'crd', '-o', 'name');
  expect(text.split('\n').filter((name) => name.includes('cilium.io'))).toEqual([]);
  const names = (await readExport([`${namespace}/cilium-export-0`])).map(({ metadata }) => metadata?.name);
  expect(names.sort()).toEqual(['late', 'public', 'web']);

  // As a removal that was interrupted after the CRDs: the export is all that is left.
  await apply(lab(), cniChain);
  const { total, configMaps: kept } = await exportCilium(cluster());
  expect({ total, kept }).toEqual({ total: 3, kept: [`${namespace}/cilium-export-0`] });
});
