import type { V1Node } from '@kubernetes/client-node';
import type { Lab } from '../../lab/cluster/lab.ts';
import { runInside } from '../../lab/machine/machine.ts';
import { apply } from './objects.ts';
import { read } from './reads.ts';

const hostPort = 18_080;

/** A server on a host port of every node, whose pods may receive 10 Mbit/s. */
const daemonSet = {
  apiVersion: 'apps/v1',
  kind: 'DaemonSet',
  metadata: { name: 'edge', namespace: 'edge' },
  spec: {
    selector: { matchLabels: { app: 'edge' } },
    template: {
      metadata: { labels: { app: 'edge' }, annotations: { 'kubernetes.io/ingress-bandwidth': '10M' } },
      spec: {
        terminationGracePeriodSeconds: 1,
        containers: [
          {
            name: 'server',
            image: 'cni-live-migration/lab-app:1',
            args: ['server'],
            ports: [{ containerPort: 8080, hostPort }],
            readinessProbe: { httpGet: { port: 8080, path: '/' }, periodSeconds: 1 },
          },
        ],
      },
    },
  },
};

/** Starts the edge servers, and waits until every node has one that is ready. */
export async function startEdgeServers(lab: Lab): Promise<void> {
  await apply(lab, { apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'edge' } }, daemonSet);
  await waitForEdgeServers(lab);
}

/** Waits until every node has an edge server that is ready. */
export async function waitForEdgeServers(lab: Lab): Promise<void> {
  await lab.kubectl('-n', 'edge', 'rollout', 'status', 'daemonset/edge', '--timeout=300s');
}

/** State of an edge server whose host port and bandwidth limit work, as seen from outside. */
export const servingEdge = { answer: '200', shaped: true };

/** Calls the host port of a node from another machine, and checks the bandwidth limit of its pod. */
export async function readEdgeServer(lab: Lab, node: string): Promise<typeof servingEdge> {
  const { layout } = lab;
  const other = layout.nodeNames.find((name) => name !== node) ?? '';
  const { status } = await read<V1Node>(lab, 'node', node);
  const address = status?.addresses?.find(({ type }) => type === 'InternalIP')?.address ?? '';
  const curl = ['curl', '--silent', '--fail-with-body', '--max-time', '5', '--retry', '3', '--output', '/dev/null'];
  const answer = await runInside(layout.machineDir(other), [
    ...curl,
    '--write-out',
    '%{http_code}',
    `http://${address}:${hostPort}/`,
  ]);
  const shapers = await runInside(layout.machineDir(node), ['tc', 'qdisc', 'show']);
  return { answer, shaped: shapers.includes('qdisc tbf') };
}
