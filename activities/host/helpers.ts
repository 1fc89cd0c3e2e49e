import { readFileSync } from 'node:fs';
import path from 'node:path';
import { flipLabel } from '../../workflows/model/helm-values.ts';
import { agentImage } from '../cilium/agents.ts';
import { failure } from '../failures.ts';
import { applyObject, type NamedObject } from '../kubernetes/apply.ts';
import type { Clusters } from '../kubernetes/connection.ts';
import { ownDaemonSet, ownDaemonSetReady } from '../kubernetes/daemon-sets.ts';
import { withFailures } from '../kubernetes/errors.ts';
import { cordonedAnnotation, helperNamespace as namespace, nodeAnnotations, ownedLabels } from '../kubernetes/names.ts';
import { patchNode } from '../kubernetes/nodes.ts';
import { applyNamespace, removeNamespace } from './namespace.ts';

const natExemption = 'nat-exemption';

const natExemptionScript = readFileSync(path.join(import.meta.dirname, 'nat-exemption.sh'), 'utf8');

/** Input of `deployNatExemption`. */
export interface NatExemptionTarget {
  cluster: string;
  sourcePodCidr: string;
  targetPodCidr: string;
}

/** The activities on what runs in the cluster for the time of the migration. */
export function createHelperActivities(clusters: Clusters) {
  return {
    /** Runs the NAT exemption on every node, and waits for it. @throws AgentNotReady naming what does not run. */
    deployNatExemption: withFailures('exempt pods from NAT', async (target: NatExemptionTarget): Promise<void> => {
      const connection = await clusters.connect(target.cluster);
      const image = await agentImage(connection);
      if (image === undefined) throw failure('AgentNotReady', "Cilium's agents are not installed");
      await applyNamespace(connection, image);
      for (const object of natExemptionObjects(target, image)) await applyObject(connection, object);
      await ownDaemonSetReady(connection, natExemption);
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

/** The NAT exemption, as Kubernetes objects. */
export function natExemptionObjects(
  { sourcePodCidr, targetPodCidr }: Omit<NatExemptionTarget, 'cluster'>,
  hostImage: string
): (NamedObject & Record<string, unknown>)[] {
  return [
    {
      apiVersion: 'v1',
      kind: 'ConfigMap',
      metadata: { name: natExemption, namespace, labels: ownedLabels },
      data: { 'nat-exemption.sh': natExemptionScript },
    },
    ownDaemonSet(natExemption, {
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
  ];
}
