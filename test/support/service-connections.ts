import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import type { V1Node, V1Pod, V1Service } from '@kubernetes/client-node';
import type { Lab } from '../../lab/cluster/lab.ts';
import { buildMachineCommand } from '../../lab/machine/machine.ts';
import { apply } from './objects.ts';
import { listPods } from './pod-networks.ts';
import { read } from './reads.ts';

/** A Service in front of the edge servers, and pods on every node that no Service has, so that none connects to itself. */
const objects = [
  {
    apiVersion: 'v1',
    kind: 'Service',
    metadata: { name: 'edge', namespace: 'edge' },
    spec: { type: 'NodePort', selector: { app: 'edge' }, ports: [{ port: 80, targetPort: 8080 }] },
  },
  {
    apiVersion: 'apps/v1',
    kind: 'DaemonSet',
    metadata: { name: 'caller', namespace: 'edge' },
    spec: {
      selector: { matchLabels: { app: 'caller' } },
      template: {
        metadata: { labels: { app: 'caller' } },
        spec: {
          terminationGracePeriodSeconds: 1,
          containers: [{ name: 'server', image: 'cni-live-migration/lab-app:1', args: ['server'] }],
        },
      },
    },
  },
];

/** A TCP connection through a Service that stays open. */
export interface ServiceConnection {
  /**
   * Sends a request over the connection.
   * @returns the pod that answers, and address and port of the client as this pod sees them: the same texts as before if
   * the connection is the same; or `no answer`.
   */
  ask: () => Promise<string>;
  close: () => Promise<void>;
}

/** Creates the Service of the edge servers, and the pods that call it, and waits until these run. */
export async function startCallers(lab: Lab): Promise<void> {
  await apply(lab, ...objects);
  await lab.kubectl('-n', 'edge', 'rollout', 'status', 'daemonset/caller', '--timeout=300s');
}

/**
 * Connects from the caller on one node, through the address of the Service, to the edge server on a node.
 * @param toNode node of the server that has to answer.
 */
export async function connectFromPod(lab: Lab, fromNode: string, toNode: string): Promise<ServiceConnection> {
  const { spec } = await read<V1Service>(lab, 'service', 'edge', '-n', 'edge');
  const caller = await findPod(lab, 'caller', fromNode);
  const server = (await findPod(lab, 'edge', toNode)).metadata?.name ?? '';
  // The Service chooses a server at random.
  for (let tries = 0; tries < 30; tries++) {
    const connection = await open(lab, fromNode, spec?.clusterIP ?? '', 80, caller.status?.podIP);
    if ((await connection.ask()).startsWith(`${server} `)) return connection;
    await connection.close();
  }
  throw new Error(`30 connections from ${fromNode} through the Service, none of them to ${server}`);
}

/** Connects from the host network of one node, through the node port of another, to any edge server. */
export async function connectThroughNodePort(lab: Lab, fromNode: string, toNode: string): Promise<ServiceConnection> {
  const { spec } = await read<V1Service>(lab, 'service', 'edge', '-n', 'edge');
  const { status } = await read<V1Node>(lab, 'node', toNode);
  const address = status?.addresses?.find(({ type }) => type === 'InternalIP')?.address ?? '';
  return open(lab, fromNode, address, spec?.ports?.[0]?.nodePort ?? 0);
}

async function findPod(lab: Lab, app: string, node: string): Promise<V1Pod> {
  const pods = await listPods(lab, '-n', 'edge', '-l', `app=${app}`, '--field-selector', `spec.nodeName=${node}`);
  const running = pods.find(({ metadata }) => metadata?.deletionTimestamp === undefined);
  if (running === undefined) throw new Error(`no pod of ${app} on ${node}`);
  return running;
}

/** @param podIp address of the pod in whose network the client runs. @default the network of the node */
async function open(lab: Lab, node: string, address: string, port: number, podIp = ''): Promise<ServiceConnection> {
  const command = ['bash', '-c', findNetwork, 'client', podIp, 'bash', '-c', client, 'client', address, String(port)];
  const [file = '', ...args] = await buildMachineCommand(lab.layout.machineDir(node), command);
  const child = spawn(file, args, { stdio: ['pipe', 'pipe', 'inherit'] });
  const ended = new Promise((resolve) => child.once('close', resolve));
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  // A client that has ended no longer reads.
  child.stdin.on('error', () => undefined);
  return {
    ask: async () => {
      child.stdin.write('\n');
      const { value, done } = await lines.next();
      return done === true ? 'no answer' : value;
    },
    close: async () => {
      child.stdin.end();
      await ended;
    },
  };
}

/** Runs a command in the network of the pod with this address, or in that of the node. */
const findNetwork = `
address=$1; shift
[ -n "$address" ] || exec "$@"
for network in /run/netns/*; do
  if nsenter --net="$network" ip -o -4 address | grep -qF " inet $address/"; then exec nsenter --net="$network" "$@"; fi
done
echo "no network has the address $address" >&2
exit 1
`;

/** Sends a request for each line of its input, over one connection. Only the body of an answer has a line without CR. */
const client = `
exec 3<>"/dev/tcp/$1/$2" || exit 1
while read -r _; do
  printf 'GET / HTTP/1.1\\r\\nHost: edge\\r\\n\\r\\n' >&3 || exit 1
  answer=
  while IFS= read -r -t 10 -u 3 line; do
    case $line in *$'\\r') ;; *) answer=$line; break ;; esac
  done
  echo "\${answer:-no answer}"
done
`;
