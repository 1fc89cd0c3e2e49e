import { cp, readFile, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import type { V1NamespaceList, V1PodList } from '@kubernetes/client-node';
import { helperNamespace } from '../../activities/kubernetes/names.ts';
import { run } from '../../lab/process.ts';
import { parseInput, type MigrationRequest } from '../../model/input.ts';
import { checkNames, type CheckName, type CheckOutcome } from '../../model/preflight.ts';
import { createCertificate, writeKubeconfig } from '../../lab/cluster/pki.ts';
import { labMigrationRequest } from '../../lab/migration-request.ts';
import { createLabActivities } from '../support/activity.ts';
import { useLab } from '../support/lab.ts';
import { apply, bareNode, barePod, get } from '../support/objects.ts';
import { timeLimits } from '../support/time-limits.ts';

const lab = useLab({ nodes: 0 });
const nodes = ['n1', 'n2', 'n3'];
const namespace = 'shop';

/** Runs one check as the administrator, without pods on nodes: checks that need such pods are tested in test/lab. */
async function check(name: CheckName, more: Partial<MigrationRequest> = {}): Promise<CheckOutcome> {
  const request = labMigrationRequest(lab(), 'every-node', { nodeInspection: false, ...more });
  const parsed = parseInput(request);
  if ('problems' in parsed) throw new Error(parsed.problems.join('\n'));
  const [outcome] = await createLabActivities(lab()).runPreflight({ input: parsed.input, only: [name] });
  if (outcome === undefined) throw new Error(`${name} has no outcome`);
  return outcome;
}

const nodeInfo = { operatingSystem: 'linux', architecture: 'amd64', kernelVersion: '6.1.0', kubeletVersion: 'v1.36.0' };

async function setNode(name: string, status: object = {}): Promise<void> {
  const whole = {
    // A heartbeat that does not change for 50 s means that the kubelet no longer sends it.
    conditions: [
      { type: 'Ready', status: 'True', reason: 'x', message: 'x', lastHeartbeatTime: new Date().toISOString() },
    ],
    addresses: [{ type: 'InternalIP', address: `192.0.2.${nodes.indexOf(name) + 1}` }],
    allocatable: { cpu: '4', memory: '8Gi', pods: '110' },
    capacity: { cpu: '4', memory: '8Gi', pods: '110' },
    nodeInfo: {
      machineID: '',
      systemUUID: '',
      bootID: 'b',
      osImage: '',
      containerRuntimeVersion: '',
      kubeProxyVersion: '',
      ...nodeInfo,
    },
    ...status,
  };
  await patchStatus('node', name, whole);
}

async function patchStatus(kind: string, name: string, status: object, ...where: string[]): Promise<void> {
  await lab().kubectl(
    'patch',
    kind,
    name,
    ...where,
    '--subresource=status',
    '--type=merge',
    '-p',
    JSON.stringify({ status })
  );
}

/** Sets the status of every pod as its kubelet would: there is no kubelet. */
async function setAllReady(): Promise<void> {
  for (const { metadata } of (await get<V1PodList>(lab(), 'pods', '-A')).items) {
    const status = { phase: 'Running', conditions: [{ type: 'Ready', status: 'True' }] };
    // A pod that has been deleted meanwhile needs no status.
    await patchStatus('pod', metadata?.name ?? '', status, '-n', metadata?.namespace ?? '').catch((error: unknown) => {
      if (!(error instanceof Error) || !error.message.includes('NotFound')) throw error;
    });
  }
}

const dnsPod = (name: string, node: string) =>
  barePod('kube-system', name, node, { labels: { 'k8s-app': 'kube-dns' }, spec: { hostNetwork: true } });

const proxyPod = barePod('kube-system', 'kube-proxy-x', 'n1', {
  spec: {
    hostNetwork: true,
    containers: [
      {
        name: 'kube-proxy',
        image: 'none',
        command: ['/usr/local/bin/kube-proxy', '--config=/var/lib/kube-proxy/config.conf'],
        volumeMounts: [{ name: 'kube-proxy', mountPath: '/var/lib/kube-proxy' }],
      },
    ],
    volumes: [{ name: 'kube-proxy', configMap: { name: 'kube-proxy' } }],
  },
});

beforeAll(async () => {
  await lab().kubectl('create', 'namespace', namespace);
  for (const name of nodes) {
    await apply(lab(), { ...bareNode(name), metadata: { name, labels: { 'kubernetes.io/os': 'linux' } } });
    await setNode(name);
  }
  await lab().kubectl('apply', '--server-side', '-f', lab().catalogue.canalManifest);
  await lab().kubectl('wait', '--for=condition=Established', 'crd/ippools.crd.projectcalico.org', '--timeout=60s');
  // Without these service accounts, no pod is admitted.
  for (const namespaceName of ['kube-system', namespace]) {
    await lab().kubectl('wait', '--for=create', 'serviceaccount/default', '-n', namespaceName, '--timeout=60s');
  }
  await apply(lab(), dnsPod('dns-1', 'n1'), dnsPod('dns-2', 'n2'), {
    apiVersion: 'v1',
    kind: 'ConfigMap',
    metadata: { name: 'kube-proxy', namespace: 'kube-system' },
    data: { 'config.conf': 'clusterCIDR: 10.244.0.0/15\nmode: iptables\n' },
  });
  await apply(lab(), proxyPod);
  await setAllReady();
});

// There is no kubelet that would set the status.
beforeEach(async () => {
  for (const name of nodes) await setNode(name);
});

const calico = (kind: string, spec: object, extra: object = {}) => ({
  apiVersion: 'crd.projectcalico.org/v1',
  kind,
  metadata: { name: 'test', ...extra },
  spec,
});
const deployment = (name: string, image: string) => ({
  apiVersion: 'apps/v1',
  kind: 'Deployment',
  metadata: { name, namespace },
  spec: {
    replicas: 1,
    selector: { matchLabels: { app: name } },
    template: {
      metadata: { labels: { app: name } },
      spec: { nodeSelector: { nowhere: 'x' }, containers: [{ name, image }] },
    },
  },
});
const daemonSet = (name: string, container: object) => ({
  apiVersion: 'apps/v1',
  kind: 'DaemonSet',
  metadata: { name, namespace },
  spec: {
    selector: { matchLabels: { app: name } },
    template: {
      metadata: { labels: { app: name } },
      spec: { nodeSelector: { nowhere: 'x' }, containers: [container] },
    },
  },
});
const budget = (name: string, spec: object) => ({
  apiVersion: 'policy/v1',
  kind: 'PodDisruptionBudget',
  metadata: { name, namespace },
  spec: { selector: { matchLabels: { app: 'web' } }, ...spec },
});
/** Returns a pod that a controller seems to own, so that it could be evicted. */
const ownedPod = (name: string, spec: object = {}, extra: object = {}) => {
  const pod = barePod(namespace, name, 'n1', { labels: { app: 'web' }, spec }) as { metadata: object };
  const owner = { apiVersion: 'apps/v1', kind: 'StatefulSet', name: 'x', uid: 'no-such-uid', controller: true };
  return { ...pod, metadata: { ...pod.metadata, ownerReferences: [owner], ...extra } };
};
const policy = (spec: object) => ({
  apiVersion: 'networking.k8s.io/v1',
  kind: 'NetworkPolicy',
  metadata: { name: 'test', namespace },
  spec: { podSelector: {}, ...spec },
});
const webhook = (resource: string) => ({
  apiVersion: 'admissionregistration.k8s.io/v1',
  kind: 'ValidatingWebhookConfiguration',
  metadata: { name: 'test' },
  webhooks: [
    {
      name: 'guard.example.com',
      failurePolicy: 'Fail',
      sideEffects: 'None',
      admissionReviewVersions: ['v1'],
      clientConfig: { service: { name: 'guard', namespace } },
      rules: [{ apiGroups: [''], apiVersions: ['v1'], operations: ['DELETE'], resources: [resource] }],
      // No existing namespace: the policy must not affect this test.
      namespaceSelector: { matchLabels: { nowhere: 'x' } },
    },
  ],
});
const definition = {
  apiVersion: 'apiextensions.k8s.io/v1',
  kind: 'CustomResourceDefinition',
  metadata: { name: 'ciliumnodes.cilium.io' },
  spec: {
    group: 'cilium.io',
    scope: 'Cluster',
    names: { kind: 'CiliumNode', plural: 'ciliumnodes' },
    versions: [{ name: 'v2', served: true, storage: true, schema: { openAPIV3Schema: { type: 'object' } } }],
  },
};

const adminPolicies = {
  apiVersion: 'apiextensions.k8s.io/v1',
  kind: 'CustomResourceDefinition',
  metadata: {
    name: 'adminnetworkpolicies.policy.networking.k8s.io',
    // Required for groups of Kubernetes.
    annotations: { 'api-approved.kubernetes.io': 'https://github.com/kubernetes-sigs/network-policy-api/pull/30' },
  },
  spec: {
    ...{ group: 'policy.networking.k8s.io', scope: 'Cluster' },
    names: { kind: 'AdminNetworkPolicy', plural: 'adminnetworkpolicies' },
    versions: [{ name: 'v1alpha1', served: true, storage: true, schema: { openAPIV3Schema: { type: 'object' } } }],
  },
};

interface Case {
  check: CheckName;
  what: string;
  /** Objects that make it block; removed afterwards. */
  objects?: object[];
  /** Another way to make it block, and how that is undone. */
  make?: () => Promise<unknown>;
  undo?: () => Promise<unknown>;
  /** Input that makes it block. */
  input?: Partial<MigrationRequest> | (() => Partial<MigrationRequest>);
  words: string;
}

const canalConfig = (change: (config: Record<string, string>) => Record<string, string>) => async () => {
  const { data } = await get<{ data: Record<string, string> }>(lab(), 'configmap', '-n', 'kube-system', 'canal-config');
  const patch = JSON.stringify({ data: change(data) });
  await lab().kubectl('patch', 'configmap', '-n', 'kube-system', 'canal-config', '--type=merge', '-p', patch);
};
const canalEnv =
  (...values: string[]) =>
  () =>
    lab().kubectl('set', 'env', '-n', 'kube-system', 'daemonset/canal', '-c', 'calico-node', ...values);
let template = '';
const sharedCidr = 'clusterCIDR: 10.244.0.0/15';
const proxyConfig = (text: string) => () =>
  lab().kubectl(
    ...['patch', 'configmap', '-n', 'kube-system', 'kube-proxy', '--type=merge'],
    ...['-p', JSON.stringify({ data: { 'config.conf': text } })]
  );
/** Moves the volume with Canal's CNI file. */
const cniFolder = (path: string) => () => {
  const volumes = [{ name: 'cni-net-dir', hostPath: { path } }];
  const patch = JSON.stringify({ spec: { template: { spec: { volumes } } } });
  return lab().kubectl('patch', 'daemonset', '-n', 'kube-system', 'canal', '--type=strategic', '-p', patch);
};
const localService = {
  apiVersion: 'v1',
  kind: 'Service',
  metadata: { name: 'edge', namespace },
  spec: {
    type: 'LoadBalancer',
    externalTrafficPolicy: 'Local',
    externalIPs: ['203.0.113.9'],
    ports: [{ port: 80, protocol: 'TCP' }],
  },
};
const otherChart = () => path.join(lab().layout.dir, 'other-chart');

const cases: Case[] = [
  {
    check: 'source-network',
    what: 'no Canal',
    make: () => lab().kubectl('delete', 'daemonset', '-n', 'kube-system', 'canal', '--cascade=orphan'),
    undo: () => lab().kubectl('apply', '--server-side', '-f', lab().catalogue.canalManifest),
    words: 'there is no DaemonSet with the containers calico-node and kube-flannel in kube-system',
  },
  {
    check: 'source-network',
    what: 'another backend than VXLAN',
    make: canalConfig(({ 'net-conf.json': conf = '' }) => ({ 'net-conf.json': conf.replace('vxlan', 'host-gw') })),
    undo: canalConfig(({ 'net-conf.json': conf = '' }) => ({ 'net-conf.json': conf.replace('host-gw', 'vxlan') })),
    words: 'backend is "host-gw"',
  },
  {
    check: 'calico-features',
    what: 'BGP peers',
    objects: [calico('BGPPeer', { peerIP: '192.0.2.9' })],
    words: 'BGPPeer: test',
  },
  {
    check: 'calico-features',
    what: 'host endpoints',
    objects: [calico('HostEndpoint', { node: 'n1' })],
    words: 'HostEndpoint',
  },
  {
    check: 'calico-features',
    what: 'an AdminNetworkPolicy',
    make: async () => {
      await apply(lab(), adminPolicies);
      await lab().kubectl('wait', '--for=condition=Established', 'crd', adminPolicies.metadata.name, '--timeout=60s');
      await apply(lab(), {
        apiVersion: 'policy.networking.k8s.io/v1alpha1',
        kind: 'AdminNetworkPolicy',
        metadata: { name: 'test' },
      });
    },
    undo: () => remove([adminPolicies]),
    words: 'AdminNetworkPolicy: test',
  },
  {
    check: 'calico-features',
    what: 'IPIP',
    objects: [calico('IPPool', { cidr: '172.30.0.0/16', ipipMode: 'Always' })],
    words: 'IPIP',
  },
  {
    check: 'calico-features',
    what: 'WireGuard',
    objects: [calico('FelixConfiguration', { wireguardEnabled: true })],
    words: 'WireGuard is on',
  },
  {
    check: 'calico-features',
    what: 'eBPF',
    objects: [calico('FelixConfiguration', { bpfEnabled: true })],
    words: 'eBPF is on',
  },
  {
    check: 'calico-features',
    what: 'fixed addresses',
    objects: [ownedPod('fixed', {}, { annotations: { 'cni.projectcalico.org/ipAddrs': '["10.244.0.9"]' } })],
    words: 'shop/fixed',
  },
  {
    check: 'node-address',
    what: 'addresses detected on any interface',
    make: canalEnv('CALICO_NETWORKING_BACKEND=bird', 'IP=autodetect'),
    undo: canalEnv('CALICO_NETWORKING_BACKEND=none', 'IP-'),
    words: 'first-found',
  },
  {
    check: 'ip-family',
    what: 'an IPv6 pod CIDR',
    objects: [{ ...bareNode('v6'), spec: { podCIDR: 'fd00::/64', podCIDRs: ['fd00::/64'] } }],
    words: 'v6',
  },
  { check: 'pod-cidr-overlap', what: "Canal's CIDR", input: { podCidr: '10.244.128.0/17' }, words: 'pods of Canal' },
  { check: 'pod-cidr-overlap', what: "services' CIDR", input: { podCidr: '10.96.0.0/12' }, words: 'services' },
  { check: 'pod-cidr-overlap', what: 'a node', input: { podCidr: '192.0.0.0/16' }, words: 'node n1' },
  {
    check: 'pod-cidr-overlap',
    what: 'an IPPool',
    objects: [calico('IPPool', { cidr: '172.30.0.0/16' })],
    input: { podCidr: '172.16.0.0/12' },
    words: 'Calico IPPool test',
  },
  { check: 'pod-cidr-capacity', what: 'too few ranges', input: { podCidr: '10.245.0.0/23' }, words: '2 node ranges' },
  { check: 'pod-cidr-capacity', what: 'too few addresses', input: { nodeMaskSize: 27 }, words: '28 addresses' },
  { check: 'tunnel-port', what: "Flannel's port", input: { tunnelPort: 8472 }, words: 'Flannel uses UDP port 8472' },
  {
    check: 'tunnel-port',
    what: "Calico's port",
    objects: [calico('FelixConfiguration', { vxlanPort: 8473 })],
    words: 'FelixConfiguration test',
  },
  {
    check: 'kernel',
    what: 'an old kernel',
    make: () => setNode('n2', { nodeInfo: { ...nodeInfo, kernelVersion: '4.15.0-20' } }),
    words: 'n2: linux 4.15.0-20',
  },
  {
    check: 'kube-proxy',
    what: 'one that is not ready',
    make: () =>
      patchStatus('pod', 'kube-proxy-x', { conditions: [{ type: 'Ready', status: 'False' }] }, '-n', 'kube-system'),
    undo: setAllReady,
    words: 'kube-system/kube-proxy-x on n1',
  },
  {
    check: 'kube-proxy',
    what: 'two CIDRs of one family',
    make: proxyConfig('clusterCIDR: 10.244.0.0/16,10.245.0.0/16'),
    undo: proxyConfig(sharedCidr),
    words: 'two CIDRs of one family, which kube-proxy refuses',
  },
  {
    check: 'kube-proxy',
    what: "Canal's CIDR alone, and a service that depends on it",
    objects: [localService],
    make: proxyConfig('clusterCIDR: 10.244.0.0/16'),
    undo: proxyConfig(sharedCidr),
    words: 'shop/edge (203.0.113.9',
  },
  {
    check: 'packet-filter',
    what: 'kube-proxy with IPVS',
    make: proxyConfig(`${sharedCidr}\nmode: ipvs`),
    undo: proxyConfig(sharedCidr),
    words: 'kube-proxy: mode ipvs on n1 (ConfigMap kube-system/kube-proxy)',
  },
  {
    check: 'cni-folder',
    what: 'another folder than that of Cilium',
    make: cniFolder('/var/lib/runtime/cni/net.d'),
    undo: cniFolder('/etc/cni/net.d'),
    words: 'CNI files: Canal /var/lib/runtime/cni/net.d, Cilium /etc/cni/net.d',
  },
  {
    check: 'node-address',
    what: 'an overlay on another address',
    make: () =>
      lab().kubectl('annotate', 'node', 'n2', 'flannel.alpha.coreos.com/public-ip=198.51.100.2', '--overwrite'),
    undo: () => lab().kubectl('annotate', 'node', 'n2', 'flannel.alpha.coreos.com/public-ip-'),
    words: 'n2 (Flannel 198.51.100.2, Cilium 192.0.2.2)',
  },
  {
    check: 'cluster-dns',
    what: 'no DNS',
    make: () => lab().kubectl('label', 'pods', '-n', 'kube-system', 'dns-1', 'dns-2', 'k8s-app=other', '--overwrite'),
    undo: () =>
      lab().kubectl('label', 'pods', '-n', 'kube-system', 'dns-1', 'dns-2', 'k8s-app=kube-dns', '--overwrite'),
    words: 'no pod has the label',
  },
  {
    check: 'node-health',
    what: 'a node under pressure',
    make: () =>
      setNode('n1', {
        conditions: [
          { type: 'Ready', status: 'True' },
          { type: 'DiskPressure', status: 'True' },
        ],
      }),
    words: 'n1 DiskPressure',
  },
  {
    check: 'node-health',
    what: 'no node that is Ready',
    make: async () => {
      for (const name of nodes) await setNode(name, { conditions: [{ type: 'Ready', status: 'False' }] });
    },
    words: 'no node is Ready',
  },
  {
    check: 'version-skew',
    what: 'a kubelet that is too old',
    make: () => setNode('n3', { nodeInfo: { ...nodeInfo, kubeletVersion: 'v1.30.1' } }),
    words: 'n3 v1.30.1',
  },
  {
    check: 'rollouts',
    what: 'a Canal that is rolled out',
    make: canalEnv('ANY=thing'),
    undo: async () => {
      await canalEnv('ANY-')();
      await waitForCanalPods();
    },
    words: 'kube-system/canal is not rolled out',
  },
  {
    check: 'disruption-budgets',
    what: 'one that never allows anything',
    objects: [ownedPod('web-1'), budget('strict', { maxUnavailable: 0 })],
    words: 'never allow a disruption: shop/strict',
  },
  {
    check: 'disruption-budgets',
    what: 'one that needs every pod',
    objects: [ownedPod('web-1'), budget('all', { minAvailable: '100%' })],
    words: 'shop/all',
  },
  {
    check: 'disruption-budgets',
    what: 'two on one pod',
    objects: [
      ...['web-1', 'web-2', 'web-3'].map((name) => ownedPod(name)),
      budget('a', { minAvailable: 1 }),
      budget('b', { minAvailable: 1 }),
    ],
    words: 'shop/web-1 (shop/a, shop/b)',
  },
  {
    check: 'unmanaged-pods',
    what: 'a pod of its own',
    objects: [barePod(namespace, 'lonely', 'n1')],
    words: 'shop/lonely on n1',
  },
  {
    check: 'local-data',
    what: 'emptyDir data',
    objects: [ownedPod('cache', { volumes: [{ name: 'tmp', emptyDir: {} }] })],
    words: 'shop/cache (tmp)',
  },
  {
    check: 'host-ports',
    what: 'a host port without portmap',
    objects: [
      ownedPod('edge', { containers: [{ name: 'c', image: 'none', ports: [{ containerPort: 80, hostPort: 80 }] }] }),
    ],
    make: canalConfig(({ cni_network_config: conf = '' }) => {
      template = conf;
      return { cni_network_config: conf.replace(/\{[^{}]*"portmap"[^{}]*(\{[^{}]*\}[^{}]*)*\}/, '{"type": "tuning"}') };
    }),
    undo: canalConfig(() => ({ cni_network_config: template })),
    words: 'portmap is not chained, but pods have host ports: shop/edge (80)',
  },
  {
    check: 'spare-capacity',
    what: 'no room elsewhere',
    objects: [
      ownedPod('large', { containers: [{ name: 'c', image: 'none', resources: { requests: { memory: '7Gi' } } }] }),
      ...['n2', 'n3'].map((node) => ({
        ...barePod(namespace, `full-${node}`, node, {
          spec: { containers: [{ name: 'c', image: 'none', resources: { requests: { memory: '6Gi' } } }] },
        }),
      })),
    ],
    words: 'memory: 7168 MiB to move from n1, 4096 MiB free elsewhere',
  },
  {
    check: 'added-pods',
    what: 'a node without a slot for the pods that are added',
    make: () => setNode('n2', { allocatable: { cpu: '4', memory: '8Gi', pods: '5' } }),
    words: 'n2 (pods: ',
  },
  {
    check: 'webhooks',
    what: 'one on pods without endpoints',
    objects: [webhook('pods')],
    words: 'admit pods: test/guard',
  },
  {
    check: 'other-cni',
    what: 'Multus',
    objects: [daemonSet('kube-multus-ds', { name: 'c', image: 'multus:1' })],
    words: 'kube-multus-ds',
  },
  { check: 'cilium-leftovers', what: 'definitions', objects: [definition], words: 'ciliumnodes.cilium.io' },
  {
    check: 'cilium-leftovers',
    what: 'agents',
    objects: [daemonSet('cilium', { name: 'cilium-agent', image: 'none' })],
    words: 'shop/cilium',
  },
  {
    check: 'owners',
    what: 'Argo CD',
    make: () =>
      lab().kubectl('annotate', 'daemonset', '-n', 'kube-system', 'canal', 'argocd.argoproj.io/tracking-id=net:apps'),
    undo: () => lab().kubectl('annotate', 'daemonset', '-n', 'kube-system', 'canal', 'argocd.argoproj.io/tracking-id-'),
    words: 'DaemonSet kube-system/canal: Argo CD',
  },
  {
    check: 'autoscaler',
    what: 'one that runs',
    objects: [deployment('scaler', 'registry.example.com/cluster-autoscaler:1')],
    words: 'shop/scaler',
  },
  {
    check: 'network-policies',
    what: 'a Calico policy without a Cilium equivalent',
    objects: [calico('GlobalNetworkPolicy', { selector: "app starts with 'w'", ingress: [{ action: 'Allow' }] })],
    words: 'GlobalNetworkPolicy test: its selector matches parts of label values',
  },
  {
    check: 'old-pod-cidr',
    what: 'a policy by address',
    objects: [
      policy({ ingress: [{ from: [{ ipBlock: { cidr: '10.244.7.0/24' } }, { ipBlock: { cidr: '0.0.0.0/0' } }] }] }),
    ],
    words: 'NetworkPolicy shop/test: 10.244.7.0/24',
  },
  {
    check: 'backup',
    what: 'none, and nobody asked',
    input: { backup: undefined, cleanup: 'automatic' },
    words: 'no backup',
  },
  {
    check: 'chart',
    what: 'a value that undoes ours',
    input: { values: { extraConfig: { 'enable-policy': 'always' } } },
    words: 'duplicate keys: a key of ConfigMap cilium-config',
  },
  {
    check: 'chart',
    what: 'values that contradict the migration',
    input: { values: { encryption: { enabled: true, type: 'wireguard' } } },
    words: 'in cilium-config, enable-wireguard is "true": encryption was not tested',
  },
  {
    check: 'chart',
    what: 'a value that matters only from the cutover on',
    input: { values: { cni: { hostConfDirMountPath: '/host/elsewhere' } } },
    words: 'cilium-config of the cutover has write-cni-conf-when-ready "/host/elsewhere/05-cilium.conflist"',
  },
  {
    check: 'chart',
    what: 'no agents',
    input: { values: { agent: false } },
    words: 'the chart renders no DaemonSet cilium',
  },
  {
    check: 'chart-version',
    what: 'a minor version that is not tested',
    make: async () => {
      await cp(lab().catalogue.ciliumChart, otherChart(), { recursive: true });
      const file = path.join(otherChart(), 'Chart.yaml');
      const text = await readFile(file, 'utf8');
      await writeFile(file, text.replace(/^version: .*$/m, 'version: 1.19.4'));
    },
    undo: () => rm(otherChart(), { recursive: true }),
    input: () => ({ chart: otherChart() }),
    words: 'the chart has version 1.19.4; tested are versions of 1.20',
  },
  { check: 'chart', what: 'no chart', input: { chart: '/no/such/chart' }, words: 'cannot read /no/such/chart' },
  {
    check: 'server-dry-run',
    what: 'an object that admission refuses',
    objects: [
      {
        apiVersion: 'admissionregistration.k8s.io/v1',
        kind: 'ValidatingAdmissionPolicy',
        metadata: { name: 'test' },
        spec: {
          matchConstraints: {
            resourceRules: [
              { apiGroups: ['apps'], apiVersions: ['v1'], operations: ['CREATE'], resources: ['daemonsets'] },
            ],
          },
          validations: [{ expression: 'false', message: 'no more DaemonSets' }],
        },
      },
      {
        apiVersion: 'admissionregistration.k8s.io/v1',
        kind: 'ValidatingAdmissionPolicyBinding',
        metadata: { name: 'test' },
        spec: { policyName: 'test', validationActions: ['Deny'] },
      },
    ],
    words: 'no more DaemonSets',
  },
  {
    check: 'server-dry-run',
    what: 'privileged pods that a policy engine refuses everywhere but in kube-system',
    objects: [
      {
        apiVersion: 'admissionregistration.k8s.io/v1',
        kind: 'ValidatingAdmissionPolicy',
        metadata: { name: 'test-pods' },
        spec: {
          matchConstraints: {
            namespaceSelector: {
              matchExpressions: [{ key: 'kubernetes.io/metadata.name', operator: 'NotIn', values: ['kube-system'] }],
            },
            resourceRules: [{ apiGroups: [''], apiVersions: ['v1'], operations: ['CREATE'], resources: ['pods'] }],
          },
          validations: [
            {
              expression:
                '!object.spec.containers.exists(c, has(c.securityContext) && has(c.securityContext.privileged) && c.securityContext.privileged)',
              message: 'no privileged pods',
            },
          ],
        },
      },
      {
        apiVersion: 'admissionregistration.k8s.io/v1',
        kind: 'ValidatingAdmissionPolicyBinding',
        metadata: { name: 'test-pods' },
        spec: { policyName: 'test-pods', validationActions: ['Deny'] },
      },
    ],
    words: 'Pod cni-live-migration/dry-run-clean-canal',
  },
];

/** Has every pod of Canal recreated, which otherwise takes a kubelet. */
async function waitForCanalPods(): Promise<void> {
  const deadline = Date.now() + timeLimits.clusterChange;
  for (;;) {
    for (const name of nodes) await setNode(name);
    await setAllReady();
    const { verdict } = await check('rollouts');
    if (verdict === 'pass' || Date.now() > deadline) return;
    const { items } = await get<V1PodList>(lab(), 'pods', '-n', 'kube-system', '-l', 'k8s-app=canal');
    for (const { metadata } of items.filter((pod) => pod.metadata?.deletionTimestamp !== undefined)) {
      await lab().kubectl('delete', 'pod', '-n', 'kube-system', metadata?.name ?? '', '--force', '--grace-period=0');
    }
    await new Promise((resolve) => setTimeout(resolve, 500));
  }
}

/** Repeats a check until it has a verdict: the API server notices some changes with a delay. */
async function waitForVerdict(
  name: CheckName,
  verdict: string,
  input?: Partial<MigrationRequest>
): Promise<CheckOutcome> {
  const deadline = Date.now() + timeLimits.clusterChange;
  for (;;) {
    const outcome = await check(name, input);
    if (outcome.verdict === verdict || Date.now() > deadline) return outcome;
    await new Promise((resolve) => setTimeout(resolve, 300));
  }
}

describe.each(cases)('$check: $what', ({ check: name, objects = [], make, undo, input, words }) => {
  it('blocks with its evidence, and passes after the fix', async () => {
    const withoutNodes: CheckName[] = ['other-cni'];
    const expectedVerdict = withoutNodes.includes(name) ? 'warn' : 'pass';
    if (name === 'rollouts') await waitForCanalPods();
    expect(await waitForVerdict(name, expectedVerdict)).toMatchObject({ verdict: expectedVerdict });
    if (objects.length > 0) await apply(lab(), ...objects);
    await make?.();
    try {
      const outcome = await waitForVerdict(name, 'block', typeof input === 'function' ? input() : input);
      expect(outcome).toMatchObject({ check: name, verdict: 'block' });
      expect(outcome.evidence.join('\n')).toContain(words);
      expect(outcome.fix?.length).toBeGreaterThan(10);
    } finally {
      await undo?.();
      if (objects.length > 0) await remove(objects);
    }
    for (const node of nodes) await setNode(node);
    expect(await waitForVerdict(name, expectedVerdict)).toMatchObject({ verdict: expectedVerdict });
  });
});

async function remove(objects: object[]): Promise<void> {
  const list = { apiVersion: 'v1', kind: 'List', items: objects };
  const args = [
    '--kubeconfig',
    lab().layout.kubeconfig,
    'delete',
    '--ignore-not-found',
    '--force',
    '--grace-period=0',
    '-f',
    '-',
  ];
  await run(lab().catalogue.bin('kubectl'), args, { input: JSON.stringify(list) });
}

it('rollouts: leaves out nodes that are not Ready, and names them', async () => {
  await waitForCanalPods();
  const canalOn = async (node: string): Promise<string> => {
    const selector = ['-l', 'k8s-app=canal', '--field-selector', `spec.nodeName=${node}`];
    const { items } = await get<V1PodList>(lab(), 'pods', '-n', 'kube-system', ...selector);
    return items[0]?.metadata?.name ?? '';
  };
  const setCanalReady = async (node: string, status: string): Promise<void> =>
    patchStatus('pod', await canalOn(node), { conditions: [{ type: 'Ready', status }] }, '-n', 'kube-system');
  const waitForEvidence = async (words: string): Promise<CheckOutcome> => {
    const deadline = Date.now() + timeLimits.clusterChange;
    for (;;) {
      for (const name of ['n1', 'n2']) await setNode(name);
      await setNode('n3', { conditions: [{ type: 'Ready', status: 'False' }] });
      const outcome = await check('rollouts');
      if (outcome.evidence.join().includes(words) || Date.now() > deadline) return outcome;
      await new Promise((resolve) => setTimeout(resolve, 300));
    }
  };

  await setNode('n3', { conditions: [{ type: 'Ready', status: 'False' }] });
  await setCanalReady('n3', 'False');
  const away = await waitForEvidence('left out');
  await setCanalReady('n2', 'False');
  const missing = await waitForEvidence('not rolled out');

  expect(away).toMatchObject({
    verdict: 'pass',
    evidence: ['Canal is rolled out; left out because they are not Ready: n3'],
  });
  expect(missing).toMatchObject({ verdict: 'block', evidence: ['kube-system/canal is not rolled out on n2'] });
  await waitForCanalPods();
});

it('has a case that blocks for every check, here or on the nodes of a lab', () => {
  const onNodes: CheckName[] = ['tunnel-path', 'rp-filter', 'mtu'];
  // helper-namespace.test.ts
  const elsewhere: CheckName[] = ['helper-namespace'];
  const blocked = new Set<CheckName>([
    'permissions',
    ...onNodes,
    ...elsewhere,
    ...cases.map(({ check: name }) => name),
  ]);
  expect(checkNames.filter((name) => !blocked.has(name))).toEqual([]);
});

it('other-cni: warns of other programs when Cilium keeps their files, and the chart keeps them to the end', async () => {
  await waitForVerdict('other-cni', 'warn');
  const multus = daemonSet('kube-multus-ds', { name: 'c', image: 'multus:1' });
  await apply(lab(), multus);
  const input = { values: { cni: { exclusive: false } } };

  const [outcome, chartOutcome] = [await check('other-cni', input), await check('chart', input)];

  await remove([multus]);
  expect(outcome).toMatchObject({ verdict: 'warn' });
  expect(outcome.evidence.join('\n')).toContain('kube-multus-ds');
  expect(outcome.fix).toContain('05-cilium.conflist');
  expect(chartOutcome).toMatchObject({ verdict: 'pass' });
});

it('server-dry-run: removes the namespace that it creates', async () => {
  await check('server-dry-run');

  const { items } = await get<V1NamespaceList>(lab(), 'namespaces');
  expect(items.map(({ metadata }) => metadata?.name)).not.toContain(helperNamespace);
});

it.each([
  [{ extraArgs: [], hostFirewall: { enabled: true } }, 'enable-host-firewall'],
  [{ enableIPv4Masquerade: false }, 'enable-ipv4-masquerade'],
  [{ bpf: { masquerade: true } }, 'enable-bpf-masquerade'],
  [{ ipv6: { enabled: true } }, 'enable-ipv6'],
  [{ encryption: { enabled: true, type: 'ipsec' } }, 'enable-ipsec'],
  [{ disableEndpointCRD: true }, 'disable-endpoint-crd'],
  [{ operator: { endpointGCInterval: '0s' } }, 'cilium-endpoint-gc-interval'],
  [{ cleanState: true }, 'clean-cilium-state'],
  [{ k8sNetworkPolicy: { enabled: false } }, 'enable-k8s-networkpolicy'],
  [{ cni: { chainingMode: 'portmap' } }, 'cni-chaining-mode'],
])('refuses a plan whose chart renders %j, also when the check is waived', async (values, key) => {
  const parsed = parseInput(labMigrationRequest(lab(), 'none', { nodeInspection: false, values }));
  if ('problems' in parsed) throw new Error(parsed.problems.join());

  const planning = createLabActivities(lab()).planDetails({ input: parsed.input, nodes: [] });

  await expect(planning).rejects.toMatchObject({
    type: 'InvalidInput',
    message: expect.stringContaining(`in the rendered cilium-config, ${key} is`) as string,
  });
});

it('permissions: blocks for a user without permissions, and passes for an administrator', async () => {
  expect(await check('permissions')).toMatchObject({ verdict: 'pass' });
  const { pki, context, apiServer, dir } = lab().layout;
  await createCertificate(pki, 'reader', '/CN=reader', []);
  const kubeconfig = `${dir}/reader.kubeconfig`;
  await writeKubeconfig(kubeconfig, pki, 'reader', apiServer, context);
  const input = parseInput(labMigrationRequest(lab(), 'none', { nodeInspection: false }));
  if ('problems' in input) throw new Error(input.problems.join());
  const only: CheckName[] = ['permissions', 'rollouts'];
  const [permissions, other] = await createLabActivities(lab(), kubeconfig).runPreflight({ input: input.input, only });
  expect(permissions).toMatchObject({ verdict: 'block' });
  expect(permissions?.evidence[0]).toContain('patch nodes');
  // A check that lacks a permission of the worker blocks too, and says why.
  expect(other).toMatchObject({ verdict: 'block' });
  expect(other?.evidence[0]).toContain('grant the permission "list daemonsets.apps"');
});

it('warns when nothing can be inspected, and never blocks a healthy cluster', async () => {
  const parsed = parseInput(labMigrationRequest(lab(), 'none', { nodeInspection: false }));
  if ('problems' in parsed) throw new Error(parsed.problems.join());
  await waitForCanalPods();
  const outcomes = await createLabActivities(lab()).runPreflight({ input: parsed.input });
  expect(outcomes.map((outcome) => outcome.check)).toEqual(checkNames);
  expect(outcomes.filter(({ verdict }) => verdict === 'block')).toEqual([]);
  const warned = outcomes.filter(({ verdict }) => verdict === 'warn').map((outcome) => outcome.check);
  expect(warned.sort()).toEqual(['mtu', 'other-cni', 'rp-filter', 'tunnel-path']);
});
