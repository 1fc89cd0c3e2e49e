import { parseArgs } from 'node:util';
import { KubeConfig, CoreV1Api } from '@kubernetes/client-node';
import { labUp, type Lab } from '../../lab/cluster/lab.ts';
import { startTemporal, startWorker } from '../../lab/cluster/temporal.ts';
import { runInside } from '../../lab/machine/machine.ts';
import { labMigrationRequest } from '../../lab/migration-request.ts';
import { waitFor } from '../../lab/process.ts';
import { TemporalCli } from '../support/temporal-cli.ts';
import { recordResult } from './regressions.ts';
import { rounded } from './results.ts';
import { withLab } from './with-lab.ts';

/**
 * Measures the cost of the identity bridge: in a lab of one node in coexistence, pods are added that are on Canal as
 * far as the API shows (on a node without a machine). Measured: the time from the bridge's start until every pod has
 * its endpoint, its memory, the API server's requests, and the memory of a Cilium agent that knows all of the pods.
 */
async function bench(): Promise<void> {
  const { values } = parseArgs({
    options: { pods: { type: 'string', default: '10000' }, labelSets: { type: 'string', default: '500' } },
  });
  const [pods, labelSets] = [Number(values.pods), Number(values.labelSets)];
  await withLab(async (name) => {
    const lab = await labUp({ name, nodes: 1, app: false, ephemeral: true, log: (line) => console.error(line) });
    const temporal = await startTemporal(lab);
    await startWorker(lab, temporal.address);
    const cli = new TemporalCli(temporal, lab.layout.context);
    await cli.start(JSON.stringify(labMigrationRequest(lab, 'every-node')));
    await cli.approvePlan();
    await waitFor('coexistence', async () => (await cli.status().catch(() => undefined))?.phase === 'migrate', {
      timeoutMs: 300_000,
    });
    await new Promise((resolve) => setTimeout(resolve, 10_000));
    const agentBefore = await readMemoryMiB(lab, 'cilium-agent');
    // Stopped while the pods are created: the bridge is measured from its start.
    await lab.kubectl('-n', 'cni-live-migration', 'scale', 'deployment/identity-bridge', '--replicas=0');
    await waitFor('the bridge to end', async () => (await readMemoryMiB(lab, 'coexistence identities')) === 0, {
      timeoutMs: 60_000,
    });
    console.error(`making ${pods} pods`);
    await createPods(lab, pods, labelSets);
    const requestsBefore = await bridgeRequests(lab);
    const started = Date.now();
    await lab.kubectl('-n', 'cni-live-migration', 'scale', 'deployment/identity-bridge', '--replicas=1');
    await waitFor('every pod to have its endpoint', async () => (await endpoints(lab)) >= pods, {
      timeoutMs: 900_000,
      pollIntervalMs: 500,
    });
    const seconds = (Date.now() - started) / 1_000;
    await new Promise((resolve) => setTimeout(resolve, 15_000));
    const requests = (await bridgeRequests(lab)) - requestsBefore;
    const bridge = await readMemoryMiB(lab, 'coexistence identities');
    const agentAfter = await readMemoryMiB(lab, 'cilium-agent');
    const result = {
      pods,
      labelSets,
      secondsUntilBridged: rounded(seconds),
      podsPerSecond: Math.round(pods / seconds),
      requestsPerPod: rounded(requests / pods, 2),
      bridgeMemoryMiB: bridge,
      agentMemoryMiB: { before: agentBefore, after: agentAfter },
      agentKiBPerPod: rounded(((agentAfter - agentBefore) * 1_024) / pods),
    };
    await recordResult('identity-bridge', result, ({ requestsPerPod }) => ({ 'requests per pod': requestsPerPod }));
  });
}

/**
 * Returns the resident memory in MiB of the node's processes whose command line contains a text; 0 when there is none.
 */
async function readMemoryMiB(lab: Lab, text: string): Promise<number> {
  const list = await runInside(lab.layout.machineDir('node1'), ['ps', '-eo', 'rss=,args=']);
  const lines = list.split('\n').filter((line) => line.includes(text) && !line.includes('ps -eo'));
  return Math.round(Math.max(0, ...lines.map((line) => Number(line.trim().split(/\s+/)[0]))) / 1_024);
}

/**
 * Returns the number of requests for CiliumEndpoints and CiliumIdentities that the API server has answered, without
 * watches.
 */
async function bridgeRequests(lab: Lab): Promise<number> {
  const metrics = await lab.kubectl('get', '--raw', '/metrics');
  return metrics
    .split('\n')
    .filter(
      (line) => line.startsWith('apiserver_request_total{') && /resource="cilium(endpoints|identities)"/.test(line)
    )
    .filter((line) => !line.includes('verb="WATCH"') && !line.includes('verb="LIST"') && !line.includes('verb="GET"'))
    .reduce((sum, line) => sum + Number(line.split(' ').at(-1)), 0);
}

async function endpoints(lab: Lab): Promise<number> {
  const text = await lab.kubectl('get', '--raw', '/apis/cilium.io/v2/namespaces/bench/ciliumendpoints?limit=1');
  const { items, metadata } = JSON.parse(text) as { items: unknown[]; metadata: { remainingItemCount?: number } };
  return items.length + (metadata.remainingItemCount ?? 0);
}

/** Creates pods with an address of Canal on a node without a kubelet. */
async function createPods(lab: Lab, pods: number, labelSets: number): Promise<void> {
  const config = new KubeConfig();
  config.loadFromFile(lab.layout.kubeconfig);
  const core = config.makeApiClient(CoreV1Api);
  const namespace = 'bench';
  await core.createNamespace({ body: { metadata: { name: namespace } } });
  await core.createNode({ body: { metadata: { name: 'nowhere' }, spec: { unschedulable: true } } });
  await waitFor(
    'the account',
    () =>
      core.readNamespacedServiceAccount({ name: 'default', namespace }).then(
        () => true,
        () => false
      ),
    { timeoutMs: 30_000 }
  );
  let next = 0;
  const createPod = async (index: number): Promise<void> => {
    const name = `pod-${index}`;
    await core.createNamespacedPod({
      namespace,
      body: {
        metadata: { name, labels: { app: `app-${index % labelSets}` } },
        spec: {
          nodeName: 'nowhere',
          automountServiceAccountToken: false,
          tolerations: [{ operator: 'Exists' }],
          containers: [{ name: 'c', image: 'none' }],
        },
      },
    });
    const podIP = `10.244.${100 + Math.floor(index / 250)}.${1 + (index % 250)}`;
    const status = {
      phase: 'Running',
      podIP,
      podIPs: [{ ip: podIP }],
      hostIP: '10.99.0.99',
      hostIPs: [{ ip: '10.99.0.99' }],
    };
    await core.patchNamespacedPodStatus({ name, namespace, body: [{ op: 'add', path: '/status', value: status }] });
  };
  const worker = async (): Promise<void> => {
    for (let index = next++; index < pods; index = next++) await createPod(index);
  };
  await Promise.all(Array.from({ length: 24 }, worker));
}

await bench();
