import type { ChildProcess } from 'node:child_process';
import { existsSync } from 'node:fs';
import { copyFile } from 'node:fs/promises';
import path from 'node:path';
import {
  CoreV1Api,
  KubeConfig,
  PatchStrategy,
  setHeaderOptions,
  type KubernetesListObject,
  type KubernetesObject,
  type V1Pod,
} from '@kubernetes/client-node';
import { startProcess } from '../../lab/cluster/processes.ts';
import { projectDir } from '../../lab/paths.ts';
import { bridgeObjects } from '../../activities/helpers/identity-bridge-objects.ts';
import { ownedLabels } from '../../activities/kubernetes/names.ts';
import { run, waitFor } from '../../lab/process.ts';
import { buildGo } from '../../lab/tools/go-build.ts';
import { createLabActivities } from '../support/activity.ts';
import { useLab } from '../support/lab.ts';
import { apply, bareNode, barePod, ciliumCrd, get, waitForServiceAccount } from '../support/objects.ts';
import { timeLimits } from '../support/time-limits.ts';

const lab = useLab({ nodes: 0 });
const bridges: ChildProcess[] = [];
let binary: string;

type Endpoint = KubernetesObject & {
  status: {
    identity: { id: number; labels: string[] };
    networking: { addressing: { ipv4: string }[]; node: string };
    'named-ports'?: object[];
  };
};
type Identity = KubernetesObject & { 'security-labels': Record<string, string> };

beforeAll(async () => {
  binary = path.join(lab().layout.dir, 'coexistence');
  await buildGo(path.join(projectDir, 'images', 'coexistence'), binary);
  await apply(
    lab(),
    ciliumCrd('CiliumEndpoint', 'ciliumendpoints', 'Namespaced'),
    ciliumCrd('CiliumIdentity', 'ciliumidentities', 'Cluster'),
    { ...bareNode('n1'), spec: { podCIDR: '10.244.1.0/24', podCIDRs: ['10.244.1.0/24'] } },
    ...['shop', 'cni-live-migration'].map((name) => ({
      apiVersion: 'v1',
      kind: 'Namespace',
      metadata: { name, labels: name === 'shop' ? { team: 'blue' } : ownedLabels },
    }))
  );
  await waitForServiceAccount(lab(), 'shop');
});

async function startBridge(name: string, kubeconfig = lab().layout.kubeconfig): Promise<void> {
  const ready = path.join(lab().layout.dir, `${name}.ready`);
  const env = {
    ...process.env,
    KUBECONFIG: kubeconfig,
    TARGET_CIDR: '10.245.0.0/16',
    POD_NAME: name,
    READY_FILE: ready,
  };
  bridges.push(await startProcess(lab().layout.processesDir, name, [binary, 'identities'], env));
  await waitFor(`${name} to be in sync`, () => Promise.resolve(existsSync(ready)), {
    timeoutMs: timeLimits.serviceStart,
  });
}

/** Creates a running pod with an address, as a kubelet would report it. */
async function runPod(name: string, ip: string, more: Parameters<typeof barePod>[3] = {}): Promise<V1Pod> {
  await apply(lab(), barePod('shop', name, 'n1', more));
  await setStatus(name, { phase: 'Running', hostIP: '192.168.1.1', podIP: ip, podIPs: [{ ip }] });
  return get<V1Pod>(lab(), 'pod', '-n', 'shop', name);
}

async function setStatus(name: string, status: object): Promise<void> {
  await lab().kubectl(
    '-n',
    'shop',
    'patch',
    'pod',
    name,
    '--subresource=status',
    '--type=merge',
    '-p',
    JSON.stringify({ status })
  );
}

async function findEndpoint(pod: V1Pod): Promise<Endpoint | undefined> {
  const { items } = await get<KubernetesListObject<Endpoint>>(lab(), 'ciliumendpoints', '-n', 'shop');
  return items.find(({ metadata }) => metadata?.name === `canal-${pod.metadata?.uid}`);
}

async function waitForEndpoint(
  pod: V1Pod,
  condition: (endpoint: Endpoint | undefined) => boolean
): Promise<Endpoint | undefined> {
  let endpoint: Endpoint | undefined;
  await waitFor(
    `the endpoint of ${pod.metadata?.name}`,
    async () => {
      endpoint = await findEndpoint(pod);
      return condition(endpoint);
    },
    { timeoutMs: timeLimits.clusterChange, pollIntervalMs: 100 }
  );
  return endpoint;
}

async function identity(id: number | undefined): Promise<Identity> {
  return get<Identity>(lab(), 'ciliumidentity', String(id));
}

const exists = (endpoint: Endpoint | undefined): boolean => endpoint !== undefined;
const isGone = (endpoint: Endpoint | undefined): boolean => endpoint === undefined;

it('creates an endpoint with an identity for every pod on Canal, including earlier ones', async () => {
  const web = await runPod('web', '10.244.1.5', {
    labels: { app: 'web', 'pod-template-hash': 'x' },
    spec: { containers: [{ name: 'c', image: 'none', ports: [{ name: 'http', containerPort: 8080 }] }] },
  });
  await startBridge('first');
  const endpoint = await waitForEndpoint(web, exists);
  expect(endpoint?.metadata?.ownerReferences).toEqual([
    { apiVersion: 'v1', kind: 'Pod', name: 'web', uid: web.metadata?.uid },
  ]);
  expect(endpoint?.status).toMatchObject({
    networking: { addressing: [{ ipv4: '10.244.1.5' }], node: '192.168.1.1' },
    'named-ports': [{ name: 'http', port: 8080, protocol: 'TCP' }],
    state: 'ready',
  });
  const labels = (await identity(endpoint?.status.identity.id))['security-labels'];
  expect(labels).toEqual({
    'k8s:app': 'web',
    'k8s:io.kubernetes.pod.namespace': 'shop',
    'k8s:io.cilium.k8s.namespace.labels.kubernetes.io/metadata.name': 'shop',
    'k8s:io.cilium.k8s.namespace.labels.team': 'blue',
    'k8s:io.cilium.k8s.policy.cluster': 'default',
    'k8s:io.cilium.k8s.policy.serviceaccount': 'default',
    'gen:io.cilium.k8s.named-ports': 'http.TCP.8080',
  });
});

it('uses an existing identity, and one identity for each set of labels', async () => {
  const theirs = {
    apiVersion: 'cilium.io/v2',
    kind: 'CiliumIdentity',
    metadata: { name: '4711', annotations: { 'io.cilium.heartbeat': 'now' } },
    'security-labels': {
      'k8s:app': 'api',
      'k8s:io.kubernetes.pod.namespace': 'shop',
      'k8s:io.cilium.k8s.namespace.labels.kubernetes.io/metadata.name': 'shop',
      'k8s:io.cilium.k8s.namespace.labels.team': 'blue',
      'k8s:io.cilium.k8s.policy.cluster': 'default',
      'k8s:io.cilium.k8s.policy.serviceaccount': 'default',
    },
  };
  await apply(lab(), theirs);
  const ids: (number | undefined)[] = [];
  for (const [name, app] of [
    ['api-1', 'api'],
    ['api-2', 'api'],
    ['store', 'store'],
  ] as const) {
    const pod = await runPod(name, `10.244.1.${10 + ids.length}`, { labels: { app } });
    ids.push((await waitForEndpoint(pod, exists))?.status.identity.id);
  }
  expect(ids.slice(0, 2)).toEqual([4711, 4711]);
  expect(ids[2]).not.toBe(4711);
  // The identity that was marked for deletion is in use again.
  expect((await identity(4711)).metadata?.annotations?.['io.cilium.heartbeat']).toBeUndefined();
});

it('updates identities when labels of pods or of their namespace change', async () => {
  const pod = await get<V1Pod>(lab(), 'pod', '-n', 'shop', 'store');
  const hasLabel = (label: string) => (endpoint: Endpoint | undefined) =>
    endpoint?.status.identity.labels.includes(label) === true;
  await lab().kubectl('-n', 'shop', 'label', 'pod', 'store', 'app=moved', '--overwrite');
  await waitForEndpoint(pod, hasLabel('k8s:app=moved'));
  await lab().kubectl('label', 'namespace', 'shop', 'team=red', '--overwrite');
  await waitForEndpoint(pod, hasLabel('k8s:io.cilium.k8s.namespace.labels.team=red'));
});

it('recreates removed endpoints, and removes unneeded ones', async () => {
  const pod = await get<V1Pod>(lab(), 'pod', '-n', 'shop', 'store');
  const before = await waitForEndpoint(pod, exists);
  await lab().kubectl('-n', 'shop', 'delete', 'ciliumendpoint', before?.metadata?.name ?? '');
  await waitForEndpoint(pod, (now) => now !== undefined && now.metadata?.uid !== before?.metadata?.uid);
  await lab().kubectl('delete', 'ciliumidentity', String(before?.status.identity.id));
  await waitForEndpoint(pod, (now) => now !== undefined && now.status.identity.id !== before?.status.identity.id);

  await setStatus('store', { phase: 'Succeeded' });
  await waitForEndpoint(pod, isGone);
  const web = await get<V1Pod>(lab(), 'pod', '-n', 'shop', 'web');
  // Calico's plugin sets this annotation when it removes the pod's network.
  await lab().kubectl('-n', 'shop', 'annotate', 'pod', 'web', 'cni.projectcalico.org/podIP=');
  await waitForEndpoint(web, isGone);
  const api = await get<V1Pod>(lab(), 'pod', '-n', 'shop', 'api-1');
  await lab().kubectl('-n', 'shop', 'delete', 'pod', 'api-1', '--grace-period=0', '--force');
  await waitForEndpoint(api, isGone);
});

it("ignores pods on Cilium and on the host's network, and reports the address of a new one to Calico", async () => {
  const onCilium = await runPod('moved', '10.245.1.7', { labels: { app: 'web' } });
  const onHost = await runPod('host', '192.168.1.1', { spec: { hostNetwork: true } });
  await apply(lab(), barePod('shop', 'fresh', 'n1'));
  const fresh = await get<V1Pod>(lab(), 'pod', '-n', 'shop', 'fresh');
  // As its agent creates it, before the kubelet knows the address.
  await apply(lab(), {
    apiVersion: 'cilium.io/v2',
    kind: 'CiliumEndpoint',
    metadata: {
      name: 'fresh',
      namespace: 'shop',
      // Agents copy the labels of the pod, which users choose.
      labels: ownedLabels,
      ownerReferences: [{ apiVersion: 'v1', kind: 'Pod', name: 'fresh', uid: fresh.metadata?.uid }],
    },
    status: { networking: { addressing: [{ ipv4: '10.245.1.9' }], node: '192.168.1.1' }, state: 'ready' },
  });
  await waitFor(
    'the annotation',
    async () =>
      (await get<V1Pod>(lab(), 'pod', '-n', 'shop', 'fresh')).metadata?.annotations?.['cni.projectcalico.org/podIP'] ===
      '10.245.1.9/32',
    { timeoutMs: timeLimits.clusterChange }
  );
  for (const pod of [onCilium, onHost, fresh]) expect(await findEndpoint(pod)).toBeUndefined();
});

/** Creates a pod that the kubelet has not started, with an address in Calico's annotation. */
async function claimAddress(name: string, address: string): Promise<V1Pod> {
  await apply(lab(), barePod('shop', name, 'n1', { labels: { app: 'web' } }));
  await setStatus(name, { hostIP: '192.168.1.1' });
  await lab().kubectl('-n', 'shop', 'annotate', 'pod', name, `cni.projectcalico.org/podIP=${address}/32`);
  return get<V1Pod>(lab(), 'pod', '-n', 'shop', name);
}

it('gives no endpoint to an address that a pod cannot have, or that another pod has', async () => {
  await runPod('victim', '10.244.1.70');
  const thieves = [
    await claimAddress('thief-of-pod', '10.244.1.70'),
    await claimAddress('thief-elsewhere', '10.244.7.9'),
    await claimAddress('thief-outside', '8.8.8.8'),
    await claimAddress('thief-of-service', '10.96.0.1'),
  ];
  const early = await claimAddress('early', '10.244.1.71');

  const endpoint = await waitForEndpoint(early, exists);

  expect(endpoint?.status.networking.addressing).toEqual([{ ipv4: '10.244.1.71' }]);
  for (const thief of thieves) expect(await findEndpoint(thief)).toBeUndefined();
  // The kubelet reports the address for another pod: the claim was false.
  const owner = await runPod('owner', '10.244.1.71');
  await waitForEndpoint(owner, exists);
  await waitForEndpoint(early, isGone);
});

it('continues when the leader is killed, before its lease expires', async () => {
  await startBridge('second');
  bridges[0]?.kill('SIGKILL');
  // The lease never expires: it is renewed in the name of the killed process.
  const renewed = async (): Promise<string> => {
    const lease = ['-n', 'cni-live-migration', 'lease', 'identity-bridge'];
    const renewTime = new Date().toISOString().replace('Z', '000Z');
    await lab().kubectl('patch', ...lease, '--type=merge', '-p', JSON.stringify({ spec: { renewTime } }));
    return lab().kubectl('get', ...lease, '-o', 'jsonpath={.spec.holderIdentity}');
  };
  const pod = await runPod('late', '10.244.1.50', { labels: { app: 'late' } });
  const endpoint = async (): Promise<boolean> => {
    expect(await renewed()).toBe('first');
    return exists(await findEndpoint(pod));
  };
  await waitFor('the endpoint of late', endpoint, { timeoutMs: timeLimits.clusterChange, pollIntervalMs: 500 });
});

/** Objects with the bridge's permissions. */
const permissions = bridgeObjects({ targetPodCidr: '10.245.0.0/16', coexistenceImage: 'none' }, {}).filter(
  ({ kind }) => kind !== 'Deployment'
);

/** Creates the bridge's account. @returns a kubeconfig of it, and a function that runs kubectl with it. */
async function bridgeAccount(): Promise<{ kubeconfig: string; kubectl: (...args: string[]) => Promise<unknown> }> {
  await apply(lab(), ...permissions);
  const token = (await lab().kubectl('create', 'token', '-n', 'cni-live-migration', 'identity-bridge')).trim();
  const kubeconfig = path.join(lab().layout.dir, 'bridge.kubeconfig');
  await copyFile(lab().layout.kubeconfig, kubeconfig);
  const kubectl = (...args: string[]) => run(lab().catalogue.bin('kubectl'), ['--kubeconfig', kubeconfig, ...args]);
  await kubectl('config', 'set-credentials', 'bridge', `--token=${token}`);
  await kubectl('config', 'set-context', lab().layout.context, '--user=bridge');
  return { kubeconfig, kubectl };
}

it('may annotate a pod, but not change its image', async () => {
  const { kubectl, kubeconfig } = await bridgeAccount();
  await apply(lab(), barePod('shop', 'target', 'n1'));
  const config = new KubeConfig();
  config.loadFromFile(kubeconfig);
  const annotations = { 'cni.projectcalico.org/podIP': '10.245.1.30/32' };
  const spec = { activeDeadlineSeconds: 1, containers: [{ name: 'c', image: 'attacker' }] };
  const patch = ['patch', 'pod', 'target', '-n', 'shop', '-p', JSON.stringify({ metadata: { annotations }, spec })];

  await expect(kubectl(...patch)).rejects.toThrow(/[Ff]orbidden/);
  // Without kubectl, which reads the object before it changes it.
  await config
    .makeApiClient(CoreV1Api)
    .patchNamespacedPodStatus(
      { name: 'target', namespace: 'shop', body: { metadata: { annotations }, spec } },
      setHeaderOptions('Content-Type', PatchStrategy.StrategicMergePatch)
    );

  const { metadata, spec: actual } = await get<V1Pod>(lab(), 'pod', '-n', 'shop', 'target');
  expect(metadata?.annotations).toMatchObject(annotations);
  expect([actual?.containers[0]?.image, actual?.activeDeadlineSeconds]).toEqual(['none', undefined]);
});

it('is no longer ready when it loses its permissions, and is ready again when it has them', async () => {
  const { kubeconfig } = await bridgeAccount();
  const binding = permissions.filter(({ kind }) => kind === 'ClusterRoleBinding');
  const isReady = (): Promise<boolean> => Promise.resolve(existsSync(path.join(lab().layout.dir, 'account.ready')));

  await startBridge('account', kubeconfig);
  await lab().kubectl('delete', 'clusterrolebinding', binding[0]?.metadata.name ?? '');
  await waitFor('the bridge not to be ready', async () => !(await isReady()), { timeoutMs: timeLimits.localChange });
  await apply(lab(), ...binding);
  await waitFor('the bridge to be ready', isReady, { timeoutMs: timeLimits.localChange });

  bridges.at(-1)?.kill('SIGTERM');
});

it('is removed with all its objects, and with nothing else', async () => {
  bridges[1]?.kill('SIGTERM');
  await setStatus('fresh', { phase: 'Running', podIP: '10.245.1.9', podIPs: [{ ip: '10.245.1.9' }] });
  await lab().kubectl('-n', 'shop', 'annotate', 'pod', 'late', 'cni.projectcalico.org/podIP=10.244.1.50/32');
  const target = { cluster: lab().layout.context, targetPodCidr: '10.245.0.0/16' };
  for (let time = 0; time < 2; time++) await createLabActivities(lab()).removeIdentityBridge(target);
  const { items } = await get<KubernetesListObject<Endpoint>>(lab(), 'ciliumendpoints', '-A');
  expect(items.map(({ metadata }) => metadata?.name)).toEqual(['fresh']);
  const annotation = async (name: string): Promise<string | undefined> =>
    (await get<V1Pod>(lab(), 'pod', '-n', 'shop', name)).metadata?.annotations?.['cni.projectcalico.org/podIP'];
  // Canal's own annotations stay on its pods.
  expect([await annotation('fresh'), await annotation('late')]).toEqual([undefined, '10.244.1.50/32']);
});
