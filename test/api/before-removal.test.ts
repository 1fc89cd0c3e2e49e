import { setTimeout as sleep } from 'node:timers/promises';
import { PatchStrategy, setHeaderOptions, type V1Pod } from '@kubernetes/client-node';
import type { NamedObject } from '../../activities/kubernetes/apply.ts';
import {
  helperNamespace,
  hostFoldersAnnotation,
  ownedLabels,
  sourceAgentLabel,
} from '../../activities/kubernetes/names.ts';
import { waitFor } from '../../lab/process.ts';
import { boundFindings, type RemovalFinding } from '../../model/removal-findings.ts';
import { createLabActivities } from '../support/activity.ts';
import { ciliumApi, customResource, useRepeatedActivities } from '../support/repeatable-cluster.ts';
import { inNamespace, named } from '../support/repeatable-objects.ts';
import { cniChainKey, cniChainName, flipLabel } from '../../model/names.ts';
import { timeLimits } from '../support/time-limits.ts';

const system = 'kube-system';
const targetPodCidr = '10.245.0.0/16';

/** Node n1 has a kubelet, which is played: its pods have addresses of Cilium. */
const { lab, cluster, connection, apply, remove, waitForPod, waitForReadyPod } = useRepeatedActivities(['n1']);
const activities = () => createLabActivities(lab(), undefined, undefined, () => sleep(50));
const verify = (final: string | null = 'yes') =>
  activities().verifyBeforeRemoval({ ...cluster(), targetPodCidr, expected: { final } });
const brief = (findings: readonly RemovalFinding[]) => findings.map(({ kind, subject }) => `${kind} ${subject}`).sort();

/** Selects the node with a kubelet. */
const onN1 = { nodeSelector: { 'kubernetes.io/os': 'linux' } };

const merge = setHeaderOptions('Content-Type', PatchStrategy.MergePatch);
const tolerations = [{ operator: 'Exists' }];

function workload(kind: 'DaemonSet' | 'Deployment', name: string, containers: readonly string[], more: object = {}) {
  const labels = { 'k8s-app': name };
  const spec = { hostNetwork: true, tolerations, containers: containers.map((one) => ({ name: one, image: 'none' })) };
  const template = { metadata: { labels }, spec: { ...spec, ...more } };
  const object = named('apps/v1', kind, name, { spec: { selector: { matchLabels: labels }, template } });
  return inNamespace(system, object);
}

function pod(name: string, node: string, more: object = {}): NamedObject {
  const spec = { nodeName: node, tolerations, containers: [{ name: 'c', image: 'none' }], ...more };
  return inNamespace('default', named('v1', 'Pod', name, { spec }));
}

const readPod = (name: string): Promise<V1Pod> => connection().core.readNamespacedPod({ name, namespace: 'default' });

async function setAddress(name: string, podIP: string): Promise<void> {
  const body = { status: { podIP, podIPs: [{ ip: podIP }] } };
  await connection().core.patchNamespacedPodStatus({ name, namespace: 'default', body }, merge);
}

/** Writes the CiliumEndpoint of a pod, as its agent does, or as the identity bridge does. */
async function writeEndpoint(name: string, by: 'agent' | 'bridge', address?: string): Promise<void> {
  const { metadata, status } = await readPod(name);
  const uid = metadata?.uid ?? '';
  await apply({
    ...{ apiVersion: 'cilium.io/v2', kind: 'CiliumEndpoint' },
    metadata: {
      ...{ name: by === 'agent' ? name : `canal-${uid}`, namespace: 'default' },
      // An agent copies the labels of the pod, which may be ours.
      labels: by === 'bridge' ? ownedLabels : (metadata?.labels ?? {}),
      ownerReferences: [{ apiVersion: 'v1', kind: 'Pod', name, uid }],
    },
    ...{ status: { networking: { addressing: [{ ipv4: address ?? status?.podIP }] } } },
  });
}

/** Creates a node without a kubelet, to which pods can be bound. */
async function createNode(name: string): Promise<void> {
  await connection().core.createNode({ body: { metadata: { name } } });
  const resources = { cpu: '64', memory: '64Gi', pods: '500' };
  await connection().core.patchNodeStatus(
    { name, body: { status: { capacity: resources, allocatable: resources } } },
    merge
  );
}

const config = (data: object) => inNamespace(system, named('v1', 'ConfigMap', 'cilium-config', { data }));

beforeAll(async () => {
  await apply(customResource(ciliumApi, 'CiliumEndpoint', 'Namespaced'), config({ final: 'yes' }));
  await sleep(1_100);
  await apply(
    workload('DaemonSet', 'cilium', ['cilium-agent'], onN1),
    workload('Deployment', 'cilium-operator', ['operator'], onN1)
  );
  await waitForReadyPod(system, 'k8s-app=cilium');
  await waitForReadyPod(system, 'k8s-app=cilium-operator');
  const ours = { ...pod('ours', 'n1'), metadata: { name: 'ours', namespace: 'default', labels: ownedLabels } };
  await apply(pod('moved', 'n1'), ours, pod('on-host', 'n1', { hostNetwork: true }));
  for (const name of ['moved', 'ours']) {
    await waitForPod('default', name);
    await writeEndpoint(name, 'agent');
  }
});

it('finds nothing when every pod is on Cilium, and every agent has the final configuration', async () => {
  expect(await verify()).toEqual({ findings: [], more: 0 });
});

it('returns a migrated node that is switched off, unless a pod of it is on Canal', async () => {
  const { core } = connection();
  await core.createNode({ body: { metadata: { name: 'off', labels: { [flipLabel]: 'true' } } } });
  const before = new Date(Date.now() - 180_000).toISOString();
  const ready = { type: 'Ready', status: 'Unknown', lastHeartbeatTime: before, lastTransitionTime: before };
  await core.patchNodeStatus({ name: 'off', body: { status: { conditions: [ready] } } }, merge);

  expect(await verify()).toEqual({ findings: [], more: 0, silent: ['off'] });

  await apply(pod('stuck', 'off'));
  await setAddress('stuck', '10.244.1.9');
  const { findings, silent } = await verify();
  expect(brief(findings)).toEqual(['NodeNotReady off', 'PodOnRemovedNetwork default/stuck']);
  expect(silent).toBeUndefined();
  await core.deleteNamespacedPod({ name: 'stuck', namespace: 'default', gracePeriodSeconds: 0 });
  await core.deleteNode({ name: 'off' });
});

it('names the pods without an endpoint of an agent, and those of Canal, also before the kubelet reports their address', async () => {
  // Without a kubelet: it is not Ready, and its pods get no address.
  await createNode('n2');
  await apply(pod('left', 'n1'), pod('no-endpoint', 'n1'), pod('old-endpoint', 'n1'));
  for (const name of ['left', 'no-endpoint', 'old-endpoint']) await waitForPod('default', name);
  await setAddress('left', '10.244.1.5');
  await writeEndpoint('left', 'bridge');
  await writeEndpoint('no-endpoint', 'bridge');
  await writeEndpoint('old-endpoint', 'agent', '10.245.9.9');
  // Its image is still pulled.
  await apply(pod('pulling', 'n2'));
  const annotations = { 'cni.projectcalico.org/podIP': '10.244.2.7/32' };
  await connection().core.patchNamespacedPod(
    { name: 'pulling', namespace: 'default', body: { metadata: { annotations } } },
    merge
  );

  const { findings } = await verify();

  expect(brief(findings)).toEqual([
    'NodeNotReady n2',
    'PodOnRemovedNetwork default/left',
    'PodOnRemovedNetwork default/pulling',
    'PodWithoutEndpoint default/no-endpoint',
    'PodWithoutEndpoint default/old-endpoint',
  ]);
  expect(findings.find(({ subject }) => subject === 'default/left')).toEqual({
    ...{ kind: 'PodOnRemovedNetwork', subject: 'default/left', node: 'n1' },
    reason: 'it has the address 10.244.1.5 of Canal, and would lose its network; recreate it',
  });
});

it('finds the pods that an uninstallation of Cilium would cut off, on nodes that no migration labelled', async () => {
  await apply(pod('starting', 'n2'));
  await writeEndpoint('starting', 'agent', '10.245.2.8');

  const { findings, nodes } = await activities().verifyBeforeUninstall({ ...cluster(), targetPodCidr });

  expect(brief(findings)).toEqual([
    'PodOnRemovedNetwork default/moved',
    'PodOnRemovedNetwork default/no-endpoint',
    'PodOnRemovedNetwork default/old-endpoint',
    'PodOnRemovedNetwork default/ours',
    'PodWithEndpoint default/starting',
  ]);
  expect(nodes).toEqual(['n1', 'n2']);
});

it('finds nothing to uninstall from when all pods are on Canal', async () => {
  await remove(...['moved', 'no-endpoint', 'old-endpoint', 'ours', 'starting'].map((name) => pod(name, 'n1')));
  await connection()
    .core.deleteNamespacedPod({ name: 'starting', namespace: 'default', gracePeriodSeconds: 0 })
    .catch(() => undefined);
  await waitFor(
    'the pods to end',
    async () => (await connection().core.listNamespacedPod({ namespace: 'default' })).items.length === 3,
    { timeoutMs: timeLimits.clusterChange }
  );

  expect(await activities().verifyBeforeUninstall({ ...cluster(), targetPodCidr })).toEqual({
    ...{ findings: [], more: 0, nodes: [] },
  });
});

it('names nodes that are not Ready, agents with an older configuration, and keys that are not final', async () => {
  await remove(pod('left', 'n1'), pod('pulling', 'n2'));
  await connection()
    .core.deleteNamespacedPod({ name: 'pulling', namespace: 'default', gracePeriodSeconds: 0 })
    .catch(() => undefined);
  await sleep(1_100);
  await apply(config({ final: 'no' }));
  const name = async (app: string): Promise<string> =>
    (await connection().core.listNamespacedPod({ namespace: system, labelSelector: `k8s-app=${app}` })).items.find(
      ({ spec }) => spec?.nodeName === 'n1'
    )?.metadata?.name ?? '';

  const { findings } = await verify();

  expect(brief(findings)).toEqual(
    [
      `AgentOutdated ${system}/${await name('cilium')}`,
      `AgentOutdated ${system}/${await name('cilium-operator')}`,
      `Configuration ${system}/cilium-config`,
      'NodeNotReady n2',
    ].sort()
  );
});

it('does not fail when Cilium is gone', async () => {
  await remove(config({}), workload('Deployment', 'cilium-operator', []), workload('DaemonSet', 'cilium', []));

  const { findings } = await verify(null);

  expect(brief(findings)).toEqual([`AgentNotReady ${system}/cilium-operator`, 'AgentNotReady n1', 'NodeNotReady n2']);
});

it('names a bounded number of findings', () => {
  const finding = { kind: 'PodOnRemovedNetwork', subject: 'a/b', reason: 'x' } as const;

  const { findings, more } = boundFindings(Array.from({ length: 60 }, () => finding));

  expect([findings.length, more]).toEqual([50, 10]);
});

describe('Canal between the cutover and its removal', () => {
  const canal = workload('DaemonSet', 'canal', ['calico-node', 'kube-flannel'], {
    volumes: [{ name: 'flannel-cfg', configMap: { name: 'canal-config' } }],
  });
  const witness = workload('DaemonSet', 'witness', ['c']);
  const listPods = async (app: string): Promise<V1Pod[]> =>
    (await connection().core.listNamespacedPod({ namespace: system, labelSelector: `k8s-app=${app}` })).items;
  const nodesOf = async (app: string): Promise<string[]> =>
    (await listPods(app)).map(({ spec }) => spec?.nodeName ?? '').sort();
  const uids = async (): Promise<(string | undefined)[]> =>
    (await listPods('canal')).map(({ metadata }) => metadata?.uid).sort();
  const join = async (name: string): Promise<void> => {
    await createNode(name);
    // Its controller has seen the node.
    await waitFor('a pod for the node', async () => (await nodesOf('witness')).includes(name), {
      timeoutMs: timeLimits.clusterChange,
    });
  };

  it('starts on no node that joins, and stays where it runs', async () => {
    await apply(canal, witness);
    await waitFor('Canal on both nodes', async () => (await nodesOf('canal')).join() === 'n1,n2', {
      timeoutMs: timeLimits.clusterChange,
    });
    const before = await uids();

    for (let time = 0; time < 2; time++) await activities().keepCanalOffNewNodes(cluster());
    await join('n3');
    // A restriction that does not hold would have started Canal together with the other DaemonSet.
    await sleep(2_000);

    expect(await nodesOf('canal')).toEqual(['n1', 'n2']);
    expect(await uids()).toEqual(before);
  });

  /** Evaluates the gates for a node whose probers do not write. The clock advances when the activity sleeps. */
  const checkGatesOf = async (node: string): Promise<void> => {
    let sleptMs = 0;
    const realNow = Date.now.bind(Date);
    const clock = jest.spyOn(Date, 'now').mockImplementation(() => realNow() + sleptMs);
    const { checkGates } = createLabActivities(lab(), undefined, undefined, (ms) =>
      Promise.resolve(void (sleptMs += ms))
    );
    const gates = { toleranceMs: 5_000, paths: {}, prometheus: [], http: [] };
    await checkGates({ ...cluster(), gates, sinceMs: realNow(), nodes: [node] }).finally(() => clock.mockRestore());
  };

  it('is not removed while a node that joined gives no pod a network, as without the plugins of its installer', async () => {
    const { core } = connection();
    const inHelpers = { namespace: helperNamespace };
    const chain = { plugins: [{ type: 'cilium-cni' }, { type: 'portmap' }, { type: 'bandwidth' }] };
    const folders = { config: '/etc/cni/net.d', plugins: '/opt/plugins', addresses: null };
    const metadata = { annotations: { [hostFoldersAnnotation]: JSON.stringify(folders) } };
    const chainMap = named('v1', 'ConfigMap', cniChainName, { data: { [cniChainKey]: JSON.stringify(chain) } });
    await core.patchNode({ name: 'n3', body: { metadata: { labels: onN1.nodeSelector } } }, merge);
    await apply(
      config({}),
      inNamespace(system, { ...chainMap, metadata: { ...chainMap.metadata, ...metadata } }),
      workload('DaemonSet', 'cilium', ['cilium-agent'], onN1),
      named('v1', 'Namespace', helperNamespace)
    );
    await apply({ ...pod('prober-1', 'n3'), metadata: { name: 'prober-1', ...inHelpers, labels: { app: 'prober' } } });
    const ready = { conditions: [{ type: 'Ready', status: 'True', lastTransitionTime: new Date().toISOString() }] };
    await core.patchNodeStatus({ name: 'n3', body: { status: ready } }, merge);
    const hasAgents = async (): Promise<boolean> => (await nodesOf('cilium')).join() === 'n1,n3';
    await waitFor('an agent for both nodes', hasAgents, { timeoutMs: timeLimits.clusterChange });
    for (const { metadata: { name = '' } = {} } of await listPods('cilium'))
      await core.patchNamespacedPodStatus({ name, namespace: system, body: { status: ready } }, merge);

    const findNodes = async (): Promise<RemovalFinding[]> =>
      (await verify(null)).findings.filter(({ kind }) => kind === 'NodeWithoutNetwork');
    const before = await findNodes();
    const gate = await checkGatesOf('n3').then(
      () => '',
      (error: unknown) => String(error)
    );
    const status = { podIP: '10.245.3.1', podIPs: [{ ip: '10.245.3.1' }] };
    await core.patchNamespacedPodStatus({ name: 'prober-1', ...inHelpers, body: { status } }, merge);
    const after = await findNodes();

    const reason =
      'its agent is ready, but pod cni-live-migration/prober-1 has no network yet; it joined after the cutover, and ' +
      "Canal's installer, which wrote the CNI plugins portmap, bandwidth to the other nodes, does not run on it; " +
      'install those that are missing in /opt/plugins (the events of the pod name them)';
    expect(before).toEqual([{ kind: 'NodeWithoutNetwork', subject: 'n3', node: 'n3', reason }]);
    expect(gate).toContain(`the probers on n3 write no ledger: ${reason}`);
    expect(after).toEqual([]);
  });

  it('runs on all nodes again when the restriction is lifted, and no pod is replaced', async () => {
    const before = await uids();

    for (let time = 0; time < 2; time++) await activities().letCanalOnAllNodes(cluster());
    await waitFor('a pod of Canal on n3', async () => (await nodesOf('canal')).includes('n3'), {
      timeoutMs: timeLimits.clusterChange,
    });

    expect(await uids()).toEqual(expect.arrayContaining(before));
    const { spec, metadata } = await connection().apps.readNamespacedDaemonSet({ name: 'canal', namespace: system });
    expect(spec?.updateStrategy).toEqual({ type: 'RollingUpdate', rollingUpdate: { maxSurge: 0, maxUnavailable: 1 } });
    expect([
      spec?.template.spec?.nodeSelector,
      metadata?.annotations?.['cni-live-migration/update-strategy-before'],
    ]).toEqual([undefined, undefined]);
    const nodes = (await connection().core.listNode()).items;
    expect(nodes.filter(({ metadata: { labels = {} } = {} }) => labels[sourceAgentLabel] !== undefined)).toEqual([]);
  });
});
