import { setTimeout as sleep } from 'node:timers/promises';
import type { V1Pod } from '@kubernetes/client-node';
import type { NamedObject } from '../../activities/kubernetes/apply.ts';
import {
  helperNamespace,
  ownedLabels,
  sourceAgentLabel,
  sourceUpdatesAnnotation,
} from '../../activities/kubernetes/names.ts';
import { patchNode } from '../../activities/kubernetes/nodes.ts';
import { waitForServiceAccount } from '../support/objects.ts';
import { useRepeatedActivities } from '../support/repeatable-cluster.ts';
import type { RepeatableCase, RepeatableCases } from '../support/repeated-activities.ts';

const namespace = 'kube-system';
const node = 'n1';
const flipLabel = 'io.cilium.migration/cilium-default';

/** UID of the pod that an activity has to replace: Canal's pod, which wrote no CNI file, or an agent. */
let oldPod: string | undefined;

/** Reports of pods that run once: all checks succeed, and Canal's CNI file exists once Canal's pod was recreated. */
async function message({ metadata }: V1Pod): Promise<string> {
  const app = metadata?.labels?.['app'];
  if (app === 'verify') return JSON.stringify([{ name: 'API server', ok: true, ms: 1 }]);
  return app === 'restore-source-cni' && (await isReplaced('canal')) ? '10-canal.conflist\n' : '';
}

const { lab, cluster, connection, apply, remove, state, waitForPod, waitForReadyPod, expectEachRepeatable } =
  useRepeatedActivities([node], message);
const target = () => ({ ...cluster(), node });

/** Returns true when the node has one pod of the app, and not the old one. */
async function isReplaced(app: string): Promise<boolean> {
  const { items } = await connection().core.listNamespacedPod({ namespace, labelSelector: `k8s-app=${app}` });
  return items.length === 1 && items[0]?.metadata?.uid !== oldPod;
}

const tolerations = [{ operator: 'Exists' }];

/** Builds a DaemonSet with a pod on the node. */
const daemonSet = (name: string, containers: readonly string[], more: object = {}): NamedObject => {
  const labels = { 'k8s-app': name };
  const podSpec = { tolerations, containers: containers.map((one) => ({ name: one, image: 'agent:1' })), ...more };
  return {
    apiVersion: 'apps/v1',
    kind: 'DaemonSet',
    metadata: { name, namespace },
    ...{ spec: { selector: { matchLabels: labels }, template: { metadata: { labels }, spec: podSpec } } },
  };
};
const agents = daemonSet('cilium', ['cilium-agent']);
const buildCanal = (more: object = {}): NamedObject =>
  daemonSet('canal', ['calico-node', 'kube-flannel'], {
    volumes: [{ name: 'flannel-cfg', configMap: { name: 'canal-config' } }],
    ...more,
  });
const canal = buildCanal();
const network = { name: 'k8s-pod-network', plugins: [{ type: 'calico', ipam: { type: 'host-local' } }] };
const canalConfig: NamedObject = {
  apiVersion: 'v1',
  kind: 'ConfigMap',
  metadata: { name: 'canal-config', namespace },
  ...{ data: { cni_network_config: JSON.stringify(network) } },
};
const operatorLabels = { name: 'cilium-operator' };
const operator: NamedObject = {
  apiVersion: 'apps/v1',
  kind: 'Deployment',
  metadata: { name: 'cilium-operator', namespace },
  ...{
    spec: {
      replicas: 1,
      selector: { matchLabels: operatorLabels },
      template: {
        metadata: { labels: operatorLabels },
        spec: { hostNetwork: true, tolerations, containers: [{ name: 'operator', image: 'operator:1' }] },
      },
    },
  },
};
const ownNamespace: NamedObject = {
  apiVersion: 'v1',
  kind: 'Namespace',
  metadata: { name: helperNamespace, labels: ownedLabels },
};

let changes = 0;
/** Builds Cilium's configuration; every call changes it. */
const changedConfig = (): NamedObject => ({
  apiVersion: 'v1',
  kind: 'ConfigMap',
  metadata: { name: 'cilium-config', namespace },
  ...{ data: { change: String(++changes) } },
});

/** Gives the node these labels and annotations, without those of earlier cases. */
async function setNode(
  labels: object = {},
  annotations: object = {},
  unschedulable: true | null = null
): Promise<void> {
  const none = { cordoned: null, 'boot-before': null, 'replaced-agent': null };
  const noAnnotations = Object.fromEntries(Object.keys(none).map((key) => [`cni-live-migration/${key}`, null]));
  await patchNode(connection(), node, {
    metadata: { labels: { [flipLabel]: null, ...labels }, annotations: { ...noAnnotations, ...annotations } },
    spec: { unschedulable },
  });
}

const readNode = () => state([['v1', 'Node']], (_, name) => name === node);
const readOwnPods = () => state([['v1', 'Pod']], (where) => where === helperNamespace);
const readAgents = async () => [await readNode(), await isReplaced('cilium')];

/** Brings Canal's DaemonSet and the node into a state with or without the restriction. */
async function prepareCanal(restricted: boolean): Promise<void> {
  await remove(canal);
  await setNode({ [sourceAgentLabel]: restricted ? 'true' : null });
  await apply(canalConfig, canal);
  oldPod = await waitForReadyPod(namespace, 'k8s-app=canal');
  if (restricted) await apply(withUpdatesRecorded(buildCanal({ nodeSelector: { [sourceAgentLabel]: 'true' } })));
}

function withUpdatesRecorded(object: NamedObject): NamedObject {
  const before = JSON.stringify({ type: 'RollingUpdate', rollingUpdate: { maxUnavailable: 1 } });
  const metadata = { ...object.metadata, annotations: { [sourceUpdatesAnnotation]: before } };
  const { spec } = object as NamedObject & { spec: object };
  return { ...object, metadata, ...{ spec: { ...spec, updateStrategy: { type: 'OnDelete' } } } };
}

/** Reads Canal's DaemonSet and the node; Canal's pod must still be the same. */
const readCanal = async () => [
  await readNode(),
  await state([['apps/v1', 'DaemonSet']], (_, name) => name === 'canal'),
  await isReplaced('canal'),
];

/** Starts an agent, and remembers it as the old one. */
async function prepareAgent(): Promise<void> {
  await apply(changedConfig(), agents);
  oldPod = await waitForReadyPod(namespace, 'k8s-app=cilium');
}

/** Starts an agent, and changes its configuration afterwards. */
async function prepareOutdatedAgent(): Promise<void> {
  await apply(operator);
  await setNode();
  await prepareAgent();
  // The API server's times are in whole seconds.
  await sleep(1_100);
  await apply(changedConfig());
  await waitForReadyPod(namespace, 'name=cilium-operator');
}

/** Creates what activities need that run a pod on the node. */
async function prepareOwnPods(): Promise<void> {
  await apply(agents, canalConfig, canal, ownNamespace);
  await waitForServiceAccount(lab(), helperNamespace);
  oldPod = await waitForReadyPod(namespace, 'k8s-app=canal');
}

/** Two pods with addresses of Cilium, which a drain to Canal evicts. */
async function prepareDrain(): Promise<void> {
  for (const name of ['one', 'two']) {
    const spec = { nodeName: node, terminationGracePeriodSeconds: 1, containers: [{ name: 'c', image: 'none' }] };
    await apply({ apiVersion: 'v1', kind: 'Pod', metadata: { name, namespace: 'default' }, ...{ spec } });
    await waitForPod('default', name);
  }
}

const targetPodCidr = '10.245.0.0/16';
const options = { mode: 'evict', timeoutSeconds: 60, deleteEmptyDirData: false, evictUnmanagedPods: true } as const;
const drain = { to: 'canal', targetPodCidr, daemonSets: false, options, forcedPods: [], roundSeconds: 60 } as const;

const restart: Pick<RepeatableCase, 'prepare' | 'read'> = { prepare: prepareOutdatedAgent, read: readAgents };

const cases: RepeatableCases<'nodes'> = {
  cordonNode: {
    prepare: () => setNode(),
    run: ({ cordonNode }) => cordonNode(target()),
    read: readNode,
  },
  uncordonNode: {
    prepare: () => setNode({}, { 'cni-live-migration/cordoned': 'true' }, true),
    run: ({ uncordonNode }) => uncordonNode(target()),
    read: readNode,
  },
  drainNode: {
    prepare: async () => {
      await setNode();
      await prepareDrain();
    },
    run: async ({ drainNode }) => expect(await drainNode({ ...target(), ...drain })).toEqual({ left: [] }),
    read: () => state([['v1', 'Pod']], (where) => where === 'default'),
  },
  flipNode: {
    prepare: async () => {
      await setNode();
      await prepareAgent();
    },
    run: ({ flipNode }) => flipNode(target()),
    read: readAgents,
  },
  revertNodeFlip: {
    prepare: async () => {
      await prepareAgent();
      const annotations = {
        'cni-live-migration/boot-before': 'boot-0',
        'cni-live-migration/replaced-agent': 'flip 00000000-0000-4000-8000-000000000000',
      };
      await setNode({ [flipLabel]: 'true' }, annotations);
    },
    run: ({ revertNodeFlip }) => revertNodeFlip(target()),
    read: readAgents,
  },
  restartOutdatedAgent: { ...restart, run: ({ restartOutdatedAgent }) => restartOutdatedAgent(target()) },
  waitForAgents: { ...restart, run: ({ waitForAgents }) => waitForAgents(cluster()) },
  restartOutdatedOperator: {
    prepare: async () => {
      await apply(operator);
      await sleep(1_100);
      await apply(changedConfig());
      oldPod = await waitForReadyPod(namespace, 'name=cilium-operator');
      await sleep(1_100);
      await apply(changedConfig());
    },
    run: ({ restartOutdatedOperator }) => restartOutdatedOperator(cluster()),
    read: async () => {
      const { items } = await connection().core.listNamespacedPod({ namespace, labelSelector: 'name=cilium-operator' });
      return items.filter(({ metadata }) => metadata?.deletionTimestamp === undefined && metadata?.uid !== oldPod)
        .length;
    },
  },
  keepCanalOffNewNodes: {
    prepare: () => prepareCanal(false),
    run: ({ keepCanalOffNewNodes }) => keepCanalOffNewNodes(cluster()),
    read: readCanal,
  },
  letCanalOnAllNodes: {
    prepare: () => prepareCanal(true),
    run: ({ letCanalOnAllNodes }) => letCanalOnAllNodes(cluster()),
    read: readCanal,
  },
  restoreSourceCni: {
    prepare: prepareOwnPods,
    run: ({ restoreSourceCni }) => restoreSourceCni(target()),
    read: async () => [await readOwnPods(), await isReplaced('canal')],
  },
  cleanHost: {
    prepare: prepareOwnPods,
    run: ({ cleanHost }) => cleanHost({ ...target(), traces: 'canal', coexistenceImage: 'coexistence:1' }),
    read: readOwnPods,
  },
  verifyNode: {
    prepare: prepareOwnPods,
    run: ({ verifyNode }) => verifyNode({ ...target(), targetPodCidr, proberImage: 'prober:1', expected: 'cilium' }),
    read: readOwnPods,
  },
};

expectEachRepeatable(cases);
