import type { LedgerOptions } from '../../model/ledger-options.ts';
import { applyNamespace } from './namespace.ts';
import { applyObject, type NamedObject } from '../kubernetes/apply.ts';
import type { ClusterConnection } from '../kubernetes/connection.ts';
import { limitedMemory, unprivileged } from './container-security.ts';
import { ownDaemonSet, waitForOwnDaemonSet } from './daemon-set.ts';
import type { OnCluster } from '../kubernetes/on-cluster.ts';
import { helperNamespace as namespace, ownedLabels } from '../kubernetes/names.ts';
import {
  allowedPort,
  hostPort,
  hostPortPort,
  hostProber,
  hostProberPort,
  linePort,
  nodePortPort,
  prober,
  proberPeer,
  proberPort,
  servicePort,
} from './prober-ports.ts';
import { buildProbeKey } from './probe-key.ts';

/** Input of `deployProbers`. */
export interface ProberTarget {
  cluster: string;
  targetPodCidr: string;
  proberImage: string;
  ledger: LedgerOptions;
}

type Manifest = NamedObject & Record<string, unknown>;

const nodePortService = `${prober}-nodeport`;

/** Creates the activity that deploys the probers. */
export function createProberActivities(onCluster: OnCluster) {
  return {
    /**
     * Deploys probers on every node and waits for them: one in the pod network, with a peer that it talks to, and one
     * on the host network. They sample every path, and keep running when the worker stops.
     * @returns the names of the nodes that were left out because they are not Ready.
     * @throws AgentNotReady naming what is not running.
     */
    deployProbers: onCluster('deploy the probers', async (connection, target: ProberTarget): Promise<string[]> => {
      await applyNamespace(connection);
      return deployProbers(connection, target);
    }),
  };
}

/**
 * Deploys the probers into our namespace, and waits for them.
 * @returns the names of the nodes that were left out because they are not Ready.
 * @throws AgentNotReady naming what is not running.
 */
export async function deployProbers(
  connection: ClusterConnection,
  target: Omit<ProberTarget, 'cluster'>
): Promise<string[]> {
  for (const object of proberServices()) await applyObject(connection, object);
  const service = await readService(connection);
  for (const object of proberWorkloads(target, service)) await applyObject(connection, object);
  const leftOut = new Set<string>();
  for (const name of [prober, proberPeer, hostProber])
    for (const node of await waitForOwnDaemonSet(connection, name)) leftOut.add(node);
  return [...leftOut].sort();
}

/** Facts about the probers' services, which the API server chooses. */
interface ServiceFacts {
  clusterIp: string;
  nodePort: number;
  /** Key of the probers; {@link buildProbeKey}. */
  key: string;
}

async function readService({ core }: ClusterConnection): Promise<ServiceFacts> {
  const [cluster, node] = [
    await core.readNamespacedService({ name: prober, namespace }),
    await core.readNamespacedService({ name: nodePortService, namespace }),
  ];
  const nodePort = node.spec?.ports?.[0]?.nodePort;
  const clusterIp = cluster.spec?.clusterIP;
  return { clusterIp: clusterIp ?? '', nodePort: nodePort ?? 0, key: buildProbeKey(cluster.metadata?.uid ?? '') };
}

const meta = (name: string) => ({ name, namespace, labels: ownedLabels });

/**
 * Builds all objects of the probers.
 * @param service facts about the services; any are valid for a dry run.
 */
export function proberObjects(target: Omit<ProberTarget, 'cluster'>, service: ServiceFacts): Manifest[] {
  return [...proberServices(), ...proberWorkloads(target, service)];
}

/** Builds the probers' services, permissions and network policies. */
function proberServices(): Manifest[] {
  const rules = [
    { apiGroups: ['discovery.k8s.io'], resources: ['endpointslices'], verbs: ['get', 'list', 'watch'] },
    { apiGroups: [''], resources: ['configmaps'], verbs: ['get', 'watch', 'create', 'patch'] },
  ];
  const port = (number: number) => ({ name: `p${number}`, port: number });
  const open = [proberPort, linePort, servicePort, nodePortPort, hostPortPort];
  return [
    { apiVersion: 'v1', kind: 'ServiceAccount', metadata: meta(prober) },
    { apiVersion: 'rbac.authorization.k8s.io/v1', kind: 'Role', metadata: meta(prober), rules },
    {
      apiVersion: 'rbac.authorization.k8s.io/v1',
      kind: 'RoleBinding',
      metadata: meta(prober),
      roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'Role', name: prober },
      subjects: [{ kind: 'ServiceAccount', name: prober, namespace }],
    },
    {
      apiVersion: 'v1',
      kind: 'Service',
      metadata: meta(prober),
      spec: { selector: { app: prober }, ports: [port(proberPort), port(servicePort)] },
    },
    {
      apiVersion: 'v1',
      kind: 'Service',
      metadata: meta(nodePortService),
      spec: { type: 'NodePort', selector: { app: prober }, ports: [port(nodePortPort)] },
    },
    ...[
      { name: proberPeer, number: linePort },
      { name: hostProber, number: hostProberPort },
    ].map(({ name, number }) => ({
      apiVersion: 'v1',
      kind: 'Service',
      metadata: meta(name),
      spec: { clusterIP: 'None', selector: { app: name }, ports: [port(number)] },
    })),
    {
      apiVersion: 'networking.k8s.io/v1',
      kind: 'NetworkPolicy',
      metadata: meta(prober),
      spec: {
        podSelector: { matchExpressions: [{ key: 'app', operator: 'In', values: [prober, proberPeer] }] },
        policyTypes: ['Ingress'],
        ingress: [
          { ports: [...open.map((number) => ({ port: number })), { port: proberPort, protocol: 'UDP' }] },
          { from: [{ podSelector: { matchLabels: { app: prober } } }], ports: [{ port: allowedPort }] },
        ],
      },
    },
  ];
}

function proberWorkloads(
  { targetPodCidr, proberImage, ledger }: Omit<ProberTarget, 'cluster'>,
  service: ServiceFacts
): Manifest[] {
  const field = (name: string, fieldPath: string) => ({ name, valueFrom: { fieldRef: { fieldPath } } });
  const container = (role: 'pod' | 'peer' | 'host', port: number, more: object) => ({
    name: prober,
    image: proberImage,
    imagePullPolicy: 'IfNotPresent',
    args: ['probe'],
    env: [
      field('NODE_NAME', 'spec.nodeName'),
      field('POD_NAME', 'metadata.name'),
      field('POD_IP', 'status.podIP'),
      ...Object.entries({
        ROLE: role,
        PORT: port,
        HOST_PORT: hostPort,
        NODE_PORT: service.nodePort,
        SERVICE_IP: service.clusterIp,
        TARGET_CIDR: targetPodCidr,
        SAMPLES_PER_SECOND: ledger.samplesPerSecond,
        OUTSIDE: ledger.outside.join(' '),
        PROBE_KEY: service.key,
      }).map(([name, value]) => ({ name, value: String(value) })),
    ],
    readinessProbe: { httpGet: { port, path: '/ready' }, periodSeconds: 2 },
    securityContext: unprivileged,
    // Enough for the EndpointSlices of 5,000 nodes, and for all connections that a prober accepts.
    resources: limitedMemory('256Mi'),
    ...more,
  });
  const pod = {
    serviceAccountName: prober,
    automountServiceAccountToken: true,
    // Allows the pod to answer until every peer knows that it is terminating.
    terminationGracePeriodSeconds: 5,
  };
  return [
    ownDaemonSet(prober, {
      ...pod,
      containers: [
        container('pod', proberPort, {
          ports: [{ containerPort: proberPort }, { containerPort: hostPortPort, hostPort }],
        }),
      ],
    }),
    ownDaemonSet(proberPeer, {
      terminationGracePeriodSeconds: pod.terminationGracePeriodSeconds,
      containers: [
        container('peer', proberPort, { ports: [{ containerPort: proberPort }, { containerPort: linePort }] }),
      ],
    }),
    ownDaemonSet(hostProber, {
      ...pod,
      hostNetwork: true,
      containers: [container('host', hostProberPort, { ports: [{ containerPort: hostProberPort }] })],
    }),
  ];
}
