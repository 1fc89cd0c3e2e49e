import { readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { KubeConfig, AppsV1Api } from '@kubernetes/client-node';
import { startProcess } from '../../../lab/cluster/processes.ts';
import { labUp, type Lab } from '../../../lab/cluster/lab.ts';
import type { ControlPlaneFlags } from '../../../lab/cluster/control-plane.ts';
import { podCidr } from '../../../lab/cluster/layout.ts';
import { projectDir } from '../../../lab/paths.ts';
import { waitFor } from '../../../lab/process.ts';
import { buildMissing } from '../../../lab/tools/build.ts';
import { loadCatalogue } from '../../../lab/tools/catalogue.ts';
import { buildGo } from '../../../lab/tools/go-build.ts';
import { apply, ciliumCrd } from '../../support/objects.ts';

/** Pod CIDR of the simulator's pods (simulator/machines.go): a /24 per node. */
const sourcePodCidr = '10.0.0.0/11';
export const targetPodCidr = '10.32.0.0/11';

/** Maximum number of pods of one Deployment of the workload. */
const replicas = 100;

/** Options of {@link simulatedCluster}. */
export interface SimulationOptions {
  name: string;
  nodes: number;
  podsPerNode: number;
  log: (line: string) => void;
}

/**
 * Creates a cluster for benches: etcd, API server, controllers and scheduler are real, as are Canal's manifest and the
 * workload's Deployments; kwok simulates the nodes, and the simulator simulates what runs on them.
 */
export async function simulatedCluster({ name, nodes, podsPerNode, log }: SimulationOptions): Promise<Lab> {
  const catalogue = await loadCatalogue();
  await buildMissing(catalogue.benchArtefacts, log);
  const lab = await labUp({ name, nodes: 0, ephemeral: true, controlPlaneFlags: flagsFor(nodes), log });
  await startMachines(lab, nodes);
  log(`${nodes} nodes made`);
  await waitFor('the nodes to be Ready', async () => (await readyNodes(lab)) === nodes, {
    timeoutMs: 600_000,
    pollIntervalMs: 2_000,
  });
  await installNetwork(lab);
  const apps = createAppsApi(lab);
  const canals = async (): Promise<number> =>
    (await apps.readNamespacedDaemonSet({ name: 'canal', namespace: 'kube-system' })).status?.numberAvailable ?? 0;
  await waitFor('Canal on every node', async () => (await canals()) === nodes, {
    timeoutMs: 900_000,
    pollIntervalMs: 2_000,
  });
  log('Canal on every node');
  await startWorkload(lab, nodes * podsPerNode, log);
  return lab;
}

/** Returns higher limits: Kubernetes' own clients limit themselves to request rates for smaller clusters. */
function flagsFor(nodes: number): ControlPlaneFlags {
  const rate = { 'kube-api-qps': '1000', 'kube-api-burst': '2000' };
  const together = { 'concurrent-deployment-syncs': '20', 'concurrent-replicaset-syncs': '20' };
  return {
    etcd: { 'quota-backend-bytes': String(8 * 2 ** 30), 'snapshot-count': '50000' },
    // Nodes get their pod addresses from the simulator; requests for logs go to the simulator's own address.
    'kube-apiserver': { 'kubelet-preferred-address-types': 'ExternalIP' },
    'kube-controller-manager': {
      ...rate,
      ...together,
      'cluster-cidr': sourcePodCidr,
      'allocate-node-cidrs': 'false',
      // On such a small machine, leases are renewed less often the more nodes there are.
      'node-monitor-grace-period': `${leaseSeconds(nodes) * 2}s`,
    },
    'kube-scheduler': rate,
  };
}

/**
 * Returns the duration of a node's lease. Kubelets renew their lease of 40 s four times as often. On two cores, the
 * renewals of a thousand nodes come late, and would dominate the measurement.
 */
function leaseSeconds(nodes: number): number {
  return nodes >= 1_000 ? 240 : 40;
}

async function startMachines({ layout, catalogue }: Lab, nodes: number): Promise<void> {
  const { kubeconfig, pki, processesDir, hostAddress } = layout;
  const simulator = path.join(layout.dir, 'simulator');
  await buildGo(path.join(import.meta.dirname, 'simulator'), simulator);
  const kwok = ['--kubeconfig', kubeconfig, '--config', path.join(import.meta.dirname, 'stages.yaml')];
  const selector = ['--manage-all-nodes=false', '--manage-nodes-with-annotation-selector=kwok.x-k8s.io/node=fake'];
  const lease = ['--node-lease-duration-seconds', String(leaseSeconds(nodes))];
  const home = { ...process.env, HOME: layout.dir };
  await startProcess(processesDir, 'kwok', [catalogue.bin('kwok'), ...kwok, ...selector, ...lease], home);
  await startProcess(processesDir, 'simulator', [
    simulator,
    ...['--kubeconfig', kubeconfig, '--nodes', String(nodes), '--host', hostAddress],
    ...['--certificate', path.join(pki, 'apiserver.crt'), '--key', path.join(pki, 'apiserver.key')],
  ]);
  const readLog = () => readFile(path.join(processesDir, 'simulator.log'), 'utf8');
  await waitFor('the simulator to have made all nodes', async () => (await readLog()).includes('ready\n'), {
    timeoutMs: 600_000,
  });
}

function createAppsApi({ layout }: Lab): AppsV1Api {
  const config = new KubeConfig();
  config.loadFromFile(layout.kubeconfig);
  return config.makeApiClient(AppsV1Api);
}

async function readyNodes({ kubectl }: Lab): Promise<number> {
  const query = '{range .items[*]}{.status.conditions[?(@.type=="Ready")].status}{"\\n"}{end}';
  return (await kubectl('get', 'nodes', '-o', `jsonpath=${query}`)).split('\n').filter((line) => line === 'True')
    .length;
}

/** Installs Canal and CoreDNS as in a lab, except for the size of the network. */
async function installNetwork(lab: Lab): Promise<void> {
  const manifest = await readFile(lab.catalogue.canalManifest, 'utf8');
  const file = path.join(lab.layout.dir, 'canal.yaml');
  await writeFile(file, manifest.replaceAll(podCidr, sourcePodCidr));
  const coredns = path.join(projectDir, 'lab', 'cluster', 'manifests', 'coredns.yaml');
  await lab.kubectl('apply', '--server-side', '-f', file, '-f', coredns);
}

/** Acts as Cilium's operator once its Deployment exists: creates its CRDs. */
export async function actAsOperator(lab: Lab): Promise<void> {
  const apps = createAppsApi(lab);
  const installed = (): Promise<boolean> =>
    apps.readNamespacedDeployment({ name: 'cilium-operator', namespace: 'kube-system' }).then(
      () => true,
      () => false
    );
  await waitFor('Cilium to be installed', installed, { timeoutMs: 3_600_000, pollIntervalMs: 1_000 });
  await apply(
    lab,
    ciliumCrd('CiliumNodeConfig', 'ciliumnodeconfigs', 'Namespaced'),
    ciliumCrd('CiliumEndpoint', 'ciliumendpoints', 'Namespaced'),
    ciliumCrd('CiliumIdentity', 'ciliumidentities', 'Cluster')
  );
}

/** Creates Deployments with disruption budgets, and waits until all of their pods run. */
async function startWorkload(lab: Lab, pods: number, log: (line: string) => void): Promise<void> {
  const count = Math.ceil(pods / replicas);
  const namespaces = [...new Set(Array.from({ length: count }, (_, index) => workloadNamespace(index)))];
  await apply(lab, ...namespaces.map((name) => ({ apiVersion: 'v1', kind: 'Namespace', metadata: { name } })));
  const objects = Array.from({ length: count }, (_, index) =>
    workload(index, Math.min(replicas, pods - index * replicas))
  ).flat();
  for (let index = 0; index < objects.length; index += 200) await apply(lab, ...objects.slice(index, index + 200));
  let lastReported = 0;
  const running = async (): Promise<number> => {
    const query = 'jsonpath={range .items[*]}{.status.availableReplicas}{"\\n"}{end}';
    const text = await lab.kubectl('get', 'deployments', '-A', '-l', 'part-of=workload', '-o', query);
    return text.split('\n').reduce((sum, line) => sum + Number(line), 0);
  };
  await waitFor(
    `${pods} pods to run`,
    async () => {
      const now = await running();
      if (now - lastReported >= pods / 10) {
        log(`${now} of ${pods} pods run`);
        lastReported = now;
      }
      return now >= pods;
    },
    { timeoutMs: 3_600_000, pollIntervalMs: 3_000 }
  );
}

const workloadNamespace = (index: number): string => `workload-${index % 20}`;

function workload(index: number, count: number): object[] {
  const metadata = { name: `app-${index}`, namespace: workloadNamespace(index), labels: { 'part-of': 'workload' } };
  const labels = { app: `app-${index}` };
  const selector = { matchLabels: labels };
  const containers = [{ name: 'app', image: 'none', resources: { requests: { cpu: '100m', memory: '100Mi' } } }];
  const spec = { terminationGracePeriodSeconds: 5, automountServiceAccountToken: false, containers };
  return [
    {
      apiVersion: 'apps/v1',
      kind: 'Deployment',
      metadata,
      spec: { replicas: count, selector, template: { metadata: { labels }, spec } },
    },
    { apiVersion: 'policy/v1', kind: 'PodDisruptionBudget', metadata, spec: { maxUnavailable: '25%', selector } },
  ];
}
