import { randomBytes } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { parseAllDocuments } from 'yaml';
import { listKnown, type NamedObject } from '../../activities/kubernetes/apply.ts';
import { helperNamespace, ownedLabels } from '../../activities/kubernetes/names.ts';
import { cniChainName } from '../../model/names.ts';
import { run as runProgram } from '../../lab/process.ts';
import { calicoApi, ciliumApi, customResource, useRepeatedActivities } from '../support/repeatable-cluster.ts';
import type { RepeatableCases } from '../support/repeated-activities.ts';

const namespace = 'kube-system';
const nodes = ['n1', 'n2'];
const { lab, cluster, connection, apply, remove, state, waitForPod, expectEachRepeatable } =
  useRepeatedActivities(nodes);

const named = (apiVersion: string, kind: string, name: string, more: object = {}): NamedObject => ({
  apiVersion,
  kind,
  metadata: { name },
  ...more,
});
const inNamespace = (
  where: string,
  object: NamedObject,
  labels: Record<string, string> = ownedLabels
): NamedObject => ({
  ...object,
  metadata: { ...object.metadata, namespace: where, labels },
});

const calicoCrds = ['GlobalNetworkSet', 'IPPool'].map((kind) => customResource(calicoApi, kind, 'Cluster'));

/** Random, so that the export needs several ConfigMaps. */
const blobs = Array.from({ length: 15 }, () => randomBytes(60_000).toString('base64'));

async function prepareCalico(): Promise<void> {
  await apply(...calicoCrds);
  const sets = blobs.map((blob, index) => ({
    ...named('crd.projectcalico.org/v1', 'GlobalNetworkSet', `set-${index}`),
    metadata: { name: `set-${index}`, annotations: { blob } },
  }));
  await apply(...sets);
}

const exports = ['calico-export-0', 'calico-export-1'].map((name) =>
  inNamespace(namespace, named('v1', 'ConfigMap', name))
);

/** Canal's manifest, without Calico's CRDs. */
async function canalManifest(): Promise<NamedObject[]> {
  const documents = [...parseAllDocuments(await readFile(lab().catalogue.canalManifest, 'utf8'))];
  const objects = documents
    .map((document) => document.toJS() as NamedObject | null)
    .filter((object) => object !== null);
  return objects.filter(({ kind }) => kind !== 'CustomResourceDefinition');
}

/** Cilium's configuration after the cutover. */
const finalConfig = inNamespace(
  namespace,
  named('v1', 'ConfigMap', 'cilium-config', {
    data: { 'write-cni-conf-when-ready': '/host/etc/cni/net.d/05-cilium.conflist' },
  })
);
const ownNamespace: NamedObject = {
  apiVersion: 'v1',
  kind: 'Namespace',
  metadata: { name: helperNamespace, labels: ownedLabels },
};
const cniChain = inNamespace(namespace, named('v1', 'ConfigMap', cniChainName));

/** Sets labels, annotations, taints or the cordon of all nodes. */
const setNodes = (metadata: object, spec: object = {}): Promise<void> =>
  apply(...nodes.map((name) => ({ apiVersion: 'v1', kind: 'Node', metadata: { ...metadata, name }, ...{ spec } })));

const ownDaemonSet = (name: string): NamedObject =>
  inNamespace(
    helperNamespace,
    named('apps/v1', 'DaemonSet', name, {
      spec: {
        selector: { matchLabels: { app: name } },
        updateStrategy: { type: 'RollingUpdate', rollingUpdate: { maxUnavailable: '100%' } },
        template: { metadata: { labels: { app: name } }, spec: { containers: [{ name, image: 'none' }] } },
      },
    })
  );

/** Cilium's agents: their image is used to clean nodes. They run on no node. */
const agents: NamedObject = inNamespace(
  namespace,
  named('apps/v1', 'DaemonSet', 'cilium', {
    spec: {
      selector: { matchLabels: { 'k8s-app': 'cilium' } },
      template: {
        metadata: { labels: { 'k8s-app': 'cilium' } },
        spec: { nodeSelector: { no: 'node' }, containers: [{ name: 'cilium-agent', image: 'agent:1' }] },
      },
    },
  })
);

async function helm(...args: string[]): Promise<void> {
  const { kubeconfig } = lab().layout;
  await runProgram(lab().catalogue.bin('helm'), [...args, '-n', namespace, '--kubeconfig', kubeconfig]);
}

const workloads = [
  ['v1', 'ConfigMap'],
  ['v1', 'ServiceAccount'],
  ['v1', 'Pod'],
  ['apps/v1', 'DaemonSet'],
  ['apps/v1', 'Deployment'],
  ['policy/v1', 'PodDisruptionBudget'],
  ['rbac.authorization.k8s.io/v1', 'ClusterRole'],
  ['rbac.authorization.k8s.io/v1', 'ClusterRoleBinding'],
] as const;
const isCanal = (_: string | undefined, name: string): boolean => /canal|calico|flannel/.test(name);
const isNode = (_: string | undefined, name: string): boolean => nodes.includes(name);
const definitions = ['apiextensions.k8s.io/v1', 'CustomResourceDefinition'] as const;

const target = { targetPodCidr: '10.245.0.0/16' };

const cases: RepeatableCases<'removal'> = {
  exportCalico: {
    prepare: () => Promise.all([prepareCalico(), remove(...exports)]),
    run: ({ exportCalico }) => exportCalico(cluster()),
    read: () => state([['v1', 'ConfigMap']], (_, name) => name.startsWith('calico-export')),
  },
  removeCanal: {
    prepare: async () => apply(finalConfig, ...(await canalManifest())),
    run: ({ removeCanal }) => removeCanal(cluster()),
    read: () => state(workloads, (where, name) => isCanal(where, name) && !name.startsWith('calico-export')),
    // A run that starts now either finds Canal, or something that is still to be removed.
    checkInterrupted: async ({ inspectCluster }) => {
      const { canal, leftovers } = await inspectCluster(cluster());
      const left = await state([['apps/v1', 'DaemonSet']], isCanal);
      expect(canal === undefined && !leftovers ? left : []).toEqual([]);
    },
  },
  removeCanalTraces: {
    prepare: async () => {
      await prepareCalico();
      await setNodes({ annotations: { 'flannel.alpha.coreos.com/public-ip': '192.0.2.1', keep: 'me' } });
    },
    run: async ({ exportCalico, removeCanalTraces }) => {
      // The export precedes the removal, and is kept as it is once parts of its objects are gone.
      await exportCalico(cluster());
      await removeCanalTraces(cluster());
    },
    read: () => state([definitions, ['v1', 'Node']], (_, name) => name.includes('projectcalico') || isNode(_, name)),
  },
  removeCiliumTraces: {
    prepare: async () => {
      const lease = named('coordination.k8s.io/v1', 'Lease', 'cilium-operator-resource-lock');
      await apply(
        customResource(ciliumApi, 'CiliumEndpoint', 'Namespaced'),
        customResource(ciliumApi, 'CiliumNodeConfig', 'Namespaced'),
        inNamespace(namespace, lease),
        cniChain
      );
      const taints = [{ key: 'node.cilium.io/agent-not-ready', effect: 'NoSchedule' }];
      await setNodes({ labels: { 'io.cilium.x': 'y' }, annotations: { 'network.cilium.io/x': 'y' } }, { taints });
    },
    run: ({ removeCiliumTraces }) => removeCiliumTraces(cluster()),
    read: () =>
      state(
        [definitions, ['v1', 'Node'], ['v1', 'ConfigMap'], ['coordination.k8s.io/v1', 'Lease']],
        (where, name) => isNode(where, name) || /cilium|cni-live-migration/.test(name)
      ),
  },
  removeHelpers: {
    prepare: async () => {
      await apply(ownNamespace, ownDaemonSet('nat-exemption'), ownDaemonSet('prober'));
      const annotations = { 'cni-live-migration/cordoned': 'true', 'cni-live-migration/boot-before': 'x' };
      await setNodes(
        { labels: { 'io.cilium.migration/cilium-default': 'true' }, annotations },
        { unschedulable: true }
      );
    },
    run: ({ removeHelpers }) => removeHelpers(cluster()),
    read: () =>
      state(
        [
          ['v1', 'Namespace'],
          ['v1', 'Node'],
        ],
        (_, name) => name === helperNamespace || isNode(_, name)
      ),
  },
  recordPointOfNoReturn: {
    prepare: async () => {
      await remove(ownNamespace);
      await apply(ownNamespace);
    },
    run: ({ recordPointOfNoReturn }) =>
      recordPointOfNoReturn({ ...cluster(), approval: { by: 'ann', reason: '', at: '2026-01-01T00:00:00.000Z' } }),
    read: () => state([['v1', 'Namespace']], (_, name) => name === helperNamespace),
  },
  removeIdentityBridge: {
    prepare: async () => {
      const rbac = 'rbac.authorization.k8s.io';
      const role = 'cni-live-migration-identity-bridge';
      await apply(customResource(ciliumApi, 'CiliumEndpoint', 'Namespaced'), ownNamespace);
      const spec = { containers: [{ name: 'c', image: 'none' }], tolerations: [{ operator: 'Exists' }] };
      const labels = { app: 'identity-bridge' };
      await apply(
        inNamespace(
          helperNamespace,
          named('apps/v1', 'Deployment', 'identity-bridge', {
            spec: { replicas: 2, selector: { matchLabels: labels }, template: { metadata: { labels }, spec } },
          })
        ),
        named(`${rbac}/v1`, 'ClusterRole', role),
        named(`${rbac}/v1`, 'ClusterRoleBinding', role, {
          roleRef: { apiGroup: rbac, kind: 'ClusterRole', name: role },
        }),
        ...['a', 'b'].map((name) => inNamespace('default', named('cilium.io/v2', 'CiliumEndpoint', name))),
        {
          ...inNamespace('default', named('v1', 'Pod', 'moved', { spec: { ...spec, nodeName: 'n1' } })),
          metadata: {
            name: 'moved',
            namespace: 'default',
            annotations: { 'cni.projectcalico.org/podIP': '10.245.0.1/32' },
          },
        }
      );
      await waitForPod('default', 'moved');
    },
    run: ({ removeIdentityBridge }) => removeIdentityBridge({ ...cluster(), ...target }),
    read: () =>
      state(
        [...workloads, ['cilium.io/v2', 'CiliumEndpoint']],
        (where, name) => where === 'default' || name.includes('identity-bridge')
      ),
  },
  removeInspectors: {
    prepare: async () => {
      await apply(ownNamespace);
      await apply(
        ...nodes.map((nodeName) =>
          inNamespace(
            helperNamespace,
            named('v1', 'Pod', `inspect-${nodeName}`, {
              spec: { nodeName, containers: [{ name: 'c', image: 'none' }] },
            }),
            { app: 'inspect' }
          )
        )
      );
    },
    run: ({ removeInspectors }) => removeInspectors(cluster()),
    read: () =>
      state(
        [
          ['v1', 'Namespace'],
          ['v1', 'Pod'],
        ],
        (where, name) => [where, name].includes(helperNamespace)
      ),
  },
  uninstallCilium: {
    prepare: async () => {
      await apply(cniChain, agents);
      const chart = path.resolve(import.meta.dirname, '..', 'support', 'chart');
      await helm('uninstall', 'cilium', '--ignore-not-found');
      await remove(finalConfig);
      await helm('install', 'cilium', chart, '--set', 'tunnelPort=1');
    },
    run: ({ uninstallCilium }) => uninstallCilium(cluster()),
    read: async () => [
      ...(await state([['v1', 'ConfigMap']], (_, name) => name === 'cilium-config')),
      (await listKnown(connection(), 'v1', 'Namespace')).find(({ metadata }) => metadata?.name === helperNamespace)
        ?.metadata?.annotations,
    ],
  },
};

expectEachRepeatable(cases);
