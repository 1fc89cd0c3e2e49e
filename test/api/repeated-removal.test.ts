import { randomBytes } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { gunzipSync } from 'node:zlib';
import type { KubernetesObject } from '@kubernetes/client-node';
import { parseAllDocuments } from 'yaml';
import type { NamedObject } from '../../activities/kubernetes/apply.ts';
import { objectKey } from '../../activities/kubernetes/object-key.ts';
import { readNamespaceRecord } from '../../activities/kubernetes/namespace-record.ts';
import { cniChainName } from '../../model/names.ts';
import { run as runProgram } from '../../lab/process.ts';
import { calicoApi, ciliumApi, customResource, useRepeatedActivities } from '../support/repeatable-cluster.ts';
import { inNamespace, named, nodeWith, workloads } from '../support/repeatable-objects.ts';
import type { RepeatableCases } from '../support/repeated-activities.ts';

const namespace = 'kube-system';
const nodes = ['n1', 'n2'];
const { lab, cluster, connection, apply, remove, state, expectEachRepeatable } = useRepeatedActivities(nodes);

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

const policyCrd = customResource(ciliumApi, 'CiliumNetworkPolicy', 'Namespaced');
const policy = named('cilium.io/v2', 'CiliumNetworkPolicy', 'web', { spec: { endpointSelector: {} } });
const userPolicies = ['default', namespace].map((where) => inNamespace(where, policy, { app: 'web' }));
const ciliumExport = inNamespace(namespace, named('v1', 'ConfigMap', 'cilium-export-0'));

/** Returns the objects in the export of Cilium's objects. */
async function exportedPolicies(): Promise<string[]> {
  const { binaryData } = await connection().core.readNamespacedConfigMap({ name: 'cilium-export-0', namespace });
  const text = gunzipSync(Buffer.from(binaryData?.['objects.ndjson.gz'] ?? '', 'base64')).toString();
  const objects = text
    .split('\n')
    .filter(Boolean)
    .map((line) => JSON.parse(line) as KubernetesObject);
  return objects.map((object) => objectKey(object)).sort();
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
const cniChain = inNamespace(namespace, named('v1', 'ConfigMap', cniChainName));

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

const isCanal = (_: string | undefined, name: string): boolean => /canal|calico|flannel/.test(name);
const isNode = (_: string | undefined, name: string): boolean => nodes.includes(name);
const definitions = ['apiextensions.k8s.io/v1', 'CustomResourceDefinition'] as const;

const cases: RepeatableCases<'removal'> = {
  exportCalico: {
    prepare: () => Promise.all([prepareCalico(), remove(...exports)]),
    run: ({ exportCalico }) => exportCalico(cluster()),
    read: () => state([['v1', 'ConfigMap']], (_, name) => name.startsWith('calico-export')),
  },
  exportCilium: {
    prepare: async () => {
      await apply(cniChain, policyCrd, ...userPolicies);
      await remove(ciliumExport);
    },
    run: ({ exportCilium }) => exportCilium(cluster()),
    read: exportedPolicies,
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
      const annotations = { 'flannel.alpha.coreos.com/public-ip': '192.0.2.1', keep: 'me' };
      await apply(...nodes.map((name) => nodeWith(name, { annotations })));
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
        cniChain,
        policyCrd,
        ...userPolicies
      );
      await remove(ciliumExport);
      const taints = [{ key: 'node.cilium.io/agent-not-ready', effect: 'NoSchedule' }];
      const metadata = { labels: { 'io.cilium.x': 'y' }, annotations: { 'network.cilium.io/x': 'y' } };
      await apply(...nodes.map((name) => nodeWith(name, metadata, { taints })));
    },
    run: ({ removeCiliumTraces }) => removeCiliumTraces(cluster()),
    read: async () => [
      ...(await state(
        [definitions, ['v1', 'Node'], ['v1', 'ConfigMap'], ['coordination.k8s.io/v1', 'Lease']],
        (where, name) => isNode(where, name) || (/cilium|cni-live-migration/.test(name) && !name.includes('-export-'))
      )),
      // No loss between two deletions loses a policy of a user.
      ...(await exportedPolicies()),
    ],
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
      (await readNamespaceRecord(connection()))?.hostImage,
    ],
  },
};

expectEachRepeatable(cases);
