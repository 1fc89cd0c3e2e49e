import { readFileSync } from 'node:fs';
import path from 'node:path';
import { flipLabel } from '../../workflows/model/helm-values.ts';
import { agentImage, isRolledOut } from '../cilium/agents.ts';
import { failure } from '../failures.ts';
import { applyObject, type NamedObject } from '../kubernetes/apply.ts';
import type { Clusters } from '../kubernetes/connection.ts';
import { withFailures } from '../kubernetes/errors.ts';
import { cordonedAnnotation, helperNamespace as namespace, nodeAnnotations, ownedLabels } from '../kubernetes/names.ts';
import { patchNode } from '../kubernetes/nodes.ts';
import { poll } from '../poll.ts';
import { applyNamespace, removeNamespace } from './namespace.ts';

/** Name and pod label of the probers, and name of their service. */
export const prober = 'prober';
const natExemption = 'nat-exemption';

/** Port on which probers listen, TCP and UDP. */
export const proberPort = 8080;

const natExemptionScript = readFileSync(path.join(import.meta.dirname, 'nat-exemption.sh'), 'utf8');

/** Input of `deployHelpers`. */
export interface HelperTarget {
  cluster: string;
  sourcePodCidr: string;
  targetPodCidr: string;
  proberImage: string;
}

type Manifest = NamedObject & Record<string, unknown>;

/** The activities on what runs in the cluster for the time of the migration. */
export function createHelperActivities(clusters: Clusters) {
  return {
    /** Runs the NAT exemption and a prober on every node, and waits for them. @throws AgentNotReady naming which. */
    deployHelpers: withFailures('run our helpers in the cluster', async (target: HelperTarget): Promise<void> => {
      const connection = await clusters.connect(target.cluster);
      const image = await agentImage(connection);
      if (image === undefined) throw failure('AgentNotReady', "Cilium's agents are not installed");
      await applyNamespace(connection, image);
      for (const object of helperObjects(target, image)) await applyObject(connection, object);
      for (const name of [natExemption, prober]) {
        await poll(
          async () => {
            const daemonSet = await connection.apps.readNamespacedDaemonSet({ name, namespace });
            const { numberAvailable = 0, desiredNumberScheduled = 0 } = daemonSet.status ?? {};
            return isRolledOut(daemonSet)
              ? { done: undefined }
              : {
                  waitingFor: `DaemonSet ${namespace}/${name} (${numberAvailable} of ${desiredNumberScheduled} available)`,
                };
          },
          { timeoutMs: 300_000, onTimeout: 'AgentNotReady', advice: `look at its pods in ${namespace}` }
        );
      }
    }),

    /**
     * Removes our labels and annotations from the nodes, and then the helpers with their namespace: as long as that is
     * there, this is not over.
     */
    removeHelpers: withFailures('remove our helpers', async ({ cluster }: { cluster: string }): Promise<void> => {
      const connection = await clusters.connect(cluster);
      const { items } = await connection.core.listNode({});
      for (const { metadata } of items) {
        const { name = '', labels = {}, annotations = {} } = metadata ?? {};
        const ours = nodeAnnotations.filter((key) => annotations[key] !== undefined);
        if (ours.length === 0 && labels[flipLabel] === undefined) continue;
        await patchNode(connection, name, {
          metadata: { labels: { [flipLabel]: null }, annotations: Object.fromEntries(ours.map((key) => [key, null])) },
          // Without its mark, nobody would know that the cordon is ours.
          ...(ours.includes(cordonedAnnotation) && { spec: { unschedulable: null } }),
        });
      }
      await removeNamespace(connection);
    }),
  };
}

/** Everything that helps, as Kubernetes objects. */
function helperObjects({ sourcePodCidr, targetPodCidr, proberImage }: HelperTarget, hostImage: string): Manifest[] {
  const meta = (name: string) => ({ name, namespace, labels: ownedLabels });
  return [
    {
      apiVersion: 'v1',
      kind: 'ConfigMap',
      metadata: meta(natExemption),
      data: { 'nat-exemption.sh': natExemptionScript },
    },
    daemonSet(natExemption, {
      hostNetwork: true,
      priorityClassName: 'system-node-critical',
      containers: [
        {
          name: natExemption,
          image: hostImage,
          imagePullPolicy: 'IfNotPresent',
          command: ['bash', '/scripts/nat-exemption.sh', sourcePodCidr, targetPodCidr],
          securityContext: { privileged: true },
          readinessProbe: { exec: { command: ['test', '-e', '/tmp/ready'] }, periodSeconds: 2 },
          volumeMounts: [
            { name: 'scripts', mountPath: '/scripts' },
            { name: 'xtables-lock', mountPath: '/run/xtables.lock' },
          ],
        },
      ],
      volumes: [
        { name: 'scripts', configMap: { name: natExemption } },
        { name: 'xtables-lock', hostPath: { path: '/run/xtables.lock', type: 'FileOrCreate' } },
      ],
    }),
    daemonSet(prober, {
      terminationGracePeriodSeconds: 1,
      containers: [
        {
          name: prober,
          image: proberImage,
          imagePullPolicy: 'IfNotPresent',
          args: ['serve'],
          ports: [{ containerPort: proberPort }],
          readinessProbe: { httpGet: { port: proberPort, path: '/echo' }, periodSeconds: 2 },
        },
      ],
    }),
    {
      apiVersion: 'v1',
      kind: 'Service',
      metadata: meta(prober),
      spec: { selector: { app: prober }, ports: [{ port: proberPort }] },
    },
  ];
}

function daemonSet(name: string, podSpec: object): Manifest {
  const labels = { app: name, ...ownedLabels };
  return {
    apiVersion: 'apps/v1',
    kind: 'DaemonSet',
    metadata: { name, namespace, labels: ownedLabels },
    spec: {
      selector: { matchLabels: { app: name } },
      updateStrategy: { type: 'RollingUpdate', rollingUpdate: { maxUnavailable: '100%' } },
      template: {
        metadata: { labels },
        // On every node, whatever it is reserved for.
        spec: { automountServiceAccountToken: false, tolerations: [{ operator: 'Exists' }], ...podSpec },
      },
    },
  };
}
