import type { NamedObject } from '../../activities/kubernetes/apply.ts';
import { helperNamespace, ownedLabels } from '../../activities/kubernetes/names.ts';
import { bridgeObjects } from '../../activities/helpers/identity-bridge-objects.ts';
import { natExemptionObject } from '../../activities/helpers/nat-exemption.ts';
import { proberObjects } from '../../activities/helpers/probers.ts';
import { cniChainName } from '../../model/names.ts';
import { parseInput, type MigrationInput } from '../../model/input.ts';
import { createLabActivities } from '../support/activity.ts';
import { calicoApi, ciliumApi, customResource, useRepeatedActivities } from '../support/repeatable-cluster.ts';
import type { RepeatableCases } from '../support/repeated-activities.ts';

const namespace = 'kube-system';
const { lab, cluster, connection, apply, remove, state, expectEachRepeatable } = useRepeatedActivities(['n1']);

const object = (apiVersion: string, kind: string, name: string, more: object = {}): NamedObject => ({
  apiVersion,
  kind,
  metadata: { name },
  ...more,
});
const systemObject = (apiVersion: string, kind: string, name: string, more: object = {}): NamedObject => ({
  ...object(apiVersion, kind, name, more),
  metadata: { name, namespace, labels: ownedLabels },
});

const ownNamespace: NamedObject = {
  apiVersion: 'v1',
  kind: 'Namespace',
  metadata: { name: helperNamespace, labels: ownedLabels },
};

const flannel = { Network: '10.244.0.0/16', Backend: { Type: 'vxlan' } };
const cni = { name: 'k8s-pod-network', plugins: [{ type: 'calico' }, { type: 'portmap' }] };
const canalLabels = { 'k8s-app': 'canal' };
/** Canal, as far as its detection needs it. It runs on no node. */
const canal: readonly NamedObject[] = [
  systemObject('v1', 'ConfigMap', 'canal-config', {
    data: { 'net-conf.json': JSON.stringify(flannel), cni_network_config: JSON.stringify(cni) },
  }),
  systemObject('apps/v1', 'DaemonSet', 'canal', {
    spec: {
      selector: { matchLabels: canalLabels },
      template: {
        metadata: { labels: canalLabels },
        spec: {
          nodeSelector: { no: 'node' },
          containers: ['calico-node', 'kube-flannel'].map((name) => ({ name, image: 'calico/node:v3.28.5' })),
          volumes: [{ name: 'flannel-cfg', configMap: { name: 'canal-config' } }],
        },
      },
    },
  }),
];

const ciliumKinds = [
  customResource(ciliumApi, 'CiliumEndpoint', 'Namespaced'),
  customResource(ciliumApi, 'CiliumNodeConfig', 'Namespaced'),
  customResource(ciliumApi, 'CiliumNetworkPolicy', 'Namespaced'),
  customResource(ciliumApi, 'CiliumClusterwideNetworkPolicy', 'Cluster'),
];

/** Calico's policies for the whole cluster. */
const policyKind = customResource(calicoApi, 'GlobalNetworkPolicy', 'Cluster');
const calicoPolicies = ['web', 'api'].map((app) =>
  object(calicoApi.join('/'), 'GlobalNetworkPolicy', app, {
    spec: {
      selector: `app == '${app}'`,
      types: ['Ingress'],
      ingress: [
        { action: 'Allow', protocol: 'TCP', source: { selector: "app == 'client'" }, destination: { ports: [80] } },
      ],
    },
  })
);
/** A translated policy that is no longer needed. */
const stalePolicy: NamedObject = {
  ...object('cilium.io/v2', 'CiliumNetworkPolicy', 'stale'),
  metadata: {
    name: 'stale',
    namespace: 'default',
    labels: { ...ownedLabels, 'app.kubernetes.io/component': 'translated-policy' },
  },
};

const holder = () => ({ ...cluster(), workflowId: 'cni-migration/a', runId: '1' });
const lease = systemObject('coordination.k8s.io/v1', 'Lease', 'cni-live-migration');
const readLease = () => state([['coordination.k8s.io/v1', 'Lease']], (_, name) => name === 'cni-live-migration');

const coexistence = { targetPodCidr: '10.245.0.0/16', coexistenceImage: 'coexistence:1' };
const natExemption = { ...coexistence, sourcePodCidr: '10.244.0.0/16' };
const probers = {
  targetPodCidr: '10.245.0.0/16',
  proberImage: 'prober:1',
  ledger: { baselineSeconds: 1, afterSeconds: 1, samplesPerSecond: 1, outside: [] },
};

const ownKinds = [
  ['v1', 'Namespace'],
  ['v1', 'ConfigMap'],
  ['v1', 'Service'],
  ['v1', 'ServiceAccount'],
  ['apps/v1', 'DaemonSet'],
  ['apps/v1', 'Deployment'],
  ['networking.k8s.io/v1', 'NetworkPolicy'],
  ['rbac.authorization.k8s.io/v1', 'Role'],
  ['rbac.authorization.k8s.io/v1', 'RoleBinding'],
  ['rbac.authorization.k8s.io/v1', 'ClusterRole'],
  ['rbac.authorization.k8s.io/v1', 'ClusterRoleBinding'],
] as const;
const readOwnObjects = () =>
  state(ownKinds, (where, name) => where === helperNamespace || name.startsWith('cni-live-migration'));

const nodeConfig = systemObject('cilium.io/v2', 'CiliumNodeConfig', 'cni-live-migration');
const readNodeConfig = () => state([['cilium.io/v2', 'CiliumNodeConfig']], () => true);
const cniChain = systemObject('v1', 'ConfigMap', cniChainName);

function migrationInput(): MigrationInput {
  const parsed = parseInput({ ...cluster(), podCidr: '10.245.0.0/16' });
  if ('problems' in parsed) throw new Error(parsed.problems.join('\n'));
  return parsed.input;
}

const cases: RepeatableCases<'deployment'> = {
  acquireLock: {
    prepare: () => remove(lease),
    run: ({ acquireLock }) => acquireLock(holder()),
    read: readLease,
  },
  releaseLock: {
    prepare: () => apply({ ...lease, ...{ spec: { holderIdentity: 'cni-migration/a 1' } } }),
    run: ({ releaseLock }) => releaseLock(holder()),
    read: readLease,
  },
  deployProbers: {
    prepare: async () => {
      await apply(ownNamespace);
      await remove(...proberObjects(probers, { clusterIp: '', nodePort: 0, key: '' }));
    },
    run: ({ deployProbers }) => deployProbers({ ...cluster(), ...probers }),
    read: readOwnObjects,
  },
  deployNatExemption: {
    prepare: async () => {
      await apply(ownNamespace);
      await remove(natExemptionObject(natExemption));
    },
    run: ({ deployNatExemption }) => deployNatExemption({ ...cluster(), ...natExemption }),
    read: readOwnObjects,
  },
  deployIdentityBridge: {
    prepare: async () => {
      await apply(...ciliumKinds, ownNamespace);
      await remove(...bridgeObjects(coexistence, {}));
    },
    run: ({ deployIdentityBridge }) => deployIdentityBridge({ ...cluster(), ...coexistence }),
    read: readOwnObjects,
  },
  restoreHelpers: {
    prepare: async () => {
      const helpers = [
        ...proberObjects(probers, { clusterIp: '', nodePort: 0, key: '' }),
        natExemptionObject(natExemption),
        ...bridgeObjects(coexistence, {}),
      ];
      await apply(...ciliumKinds, ownNamespace);
      await remove(...helpers.filter(({ kind }) => kind === 'Deployment' || kind === 'DaemonSet'));
    },
    run: ({ restoreHelpers }) => restoreHelpers({ input: migrationInput(), sourcePodCidr: '10.244.0.0/16' }),
    read: readOwnObjects,
  },
  applyCniChain: {
    prepare: async () => {
      await apply(...canal);
      await remove(cniChain);
    },
    run: ({ applyCniChain }) => applyCniChain(cluster()),
    read: () => state([['v1', 'ConfigMap']], (_, name) => name === cniChainName),
  },
  applyNodeConfig: {
    prepare: async () => {
      await apply(...ciliumKinds);
      await remove(nodeConfig);
    },
    run: ({ applyNodeConfig }) => applyNodeConfig(cluster()),
    read: readNodeConfig,
  },
  removeNodeConfig: {
    prepare: () => apply(...ciliumKinds, nodeConfig),
    run: ({ removeNodeConfig }) => removeNodeConfig(cluster()),
    read: readNodeConfig,
  },
  applyTranslatedPolicies: {
    prepare: async () => {
      await apply(...ciliumKinds, policyKind, ...canal, ...calicoPolicies, stalePolicy);
      await remove(
        ...['web', 'api'].map((name) => object('cilium.io/v2', 'CiliumClusterwideNetworkPolicy', `calico-${name}`))
      );
    },
    run: ({ applyTranslatedPolicies }) => applyTranslatedPolicies({ input: migrationInput() }),
    read: () =>
      state(
        [
          ['cilium.io/v2', 'CiliumNetworkPolicy'],
          ['cilium.io/v2', 'CiliumClusterwideNetworkPolicy'],
        ],
        () => true
      ),
  },
  snapshotLedger: {
    prepare: async () => {
      await apply(ownNamespace);
      await remove({
        ...object('v1', 'ConfigMap', ''),
        metadata: { name: 'ledger-snapshots', namespace: helperNamespace },
      });
    },
    run: ({ snapshotLedger }) => snapshotLedger({ ...cluster(), stage: 'before', seconds: 0 }),
    read: () => state([['v1', 'ConfigMap']], (_, name) => name === 'ledger-snapshots'),
  },
};

expectEachRepeatable(cases);

it('leaves out a node that is not Ready, by name', async () => {
  const { core } = connection();
  const conditions = [{ type: 'Ready', status: 'False', lastTransitionTime: new Date(0) }];
  await core.createNode({ body: { metadata: { name: 'away', labels: { 'kubernetes.io/os': 'linux' } } } });
  try {
    const patch = ['patch', 'node', 'away', '--subresource=status', '--type=merge', '-p'];
    await lab().kubectl(...patch, JSON.stringify({ status: { conditions } }));
    await apply(ownNamespace);

    const leftOut = await createLabActivities(lab()).deployNatExemption({ ...cluster(), ...natExemption });

    expect(leftOut).toEqual(['away']);
  } finally {
    await core.deleteNode({ name: 'away' });
  }
});
