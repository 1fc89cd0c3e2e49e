import { applyNamespace } from './namespace.ts';
import { applyObject, type NamedObject } from '../kubernetes/apply.ts';
import type { ClusterConnection } from '../kubernetes/connection.ts';
import { ownDaemonSet, waitForOwnDaemonSet } from './daemon-set.ts';
import { isReady } from '../kubernetes/conditions.ts';
import { ifFound } from '../kubernetes/errors.ts';
import { listNodes } from '../kubernetes/nodes.ts';
import type { OnCluster } from '../kubernetes/on-cluster.ts';
import { helperNamespace as namespace } from '../kubernetes/names.ts';
import { limitedMemory, rootWith } from './container-security.ts';
import { scratchSpace, startup } from './container.ts';
import { natExemption } from './names.ts';

/** Input of `deployNatExemption`. */
export interface NatExemptionTarget {
  cluster: string;
  sourcePodCidr: string;
  targetPodCidr: string;
  coexistenceImage: string;
}

/** Creates the activity on the NAT exemption. */
export function createNatExemptionActivities(onCluster: OnCluster) {
  return {
    /**
     * Deploys the NAT exemption on every node, and waits for it. A new image replaces the pods of a tenth of the nodes at
     * the same time; nodes without a running pod do not count, so that one that is not Ready does not hold up the others.
     * The exemption itself stays on a node while its pod is replaced.
     * @returns the names of the nodes that were left out because they are not Ready.
     * @throws AgentNotReady naming what is not running.
     */
    deployNatExemption: onCluster(
      'deploy the NAT exemption',
      async (connection, target: NatExemptionTarget): Promise<string[]> => {
        await applyNamespace(connection);
        const nodes = await listNodes(connection);
        const notReady = nodes.filter((node) => !isReady(node)).length;
        await applyObject(connection, natExemptionObject(target, Math.ceil(nodes.length / 10) + notReady));
        return waitForOwnDaemonSet(connection, natExemption);
      }
    ),
  };
}

/**
 * Builds the NAT exemption's Kubernetes object.
 * @param maxUnavailable number of pods that a change replaces at the same time.
 */
export function natExemptionObject(
  { sourcePodCidr, targetPodCidr, coexistenceImage }: Omit<NatExemptionTarget, 'cluster'>,
  maxUnavailable = 1
): NamedObject {
  const env = { SOURCE_CIDR: sourcePodCidr, TARGET_CIDR: targetPodCidr };
  return buildDaemonSet(coexistenceImage, ['nat'], env, maxUnavailable);
}

/**
 * Removes the exemption's rules on every node and verifies their removal. Does nothing where there is no exemption.
 * @returns the names of the nodes that were left out because they are not Ready, and may still have the rules.
 * @throws AgentNotReady naming what is not running.
 */
export async function removeNatExemption(connection: ClusterConnection): Promise<string[]> {
  const existing = await ifFound(connection.apps.readNamespacedDaemonSet({ name: natExemption, namespace }));
  const image = existing?.spec?.template.spec?.containers[0]?.image;
  if (image === undefined) return [];
  await applyObject(connection, buildDaemonSet(image, ['nat', '--remove'], {}, '100%'));
  return waitForOwnDaemonSet(connection, natExemption);
}

function buildDaemonSet(
  image: string,
  args: readonly string[],
  env: Readonly<Record<string, string>>,
  maxUnavailable: number | string
): NamedObject {
  const podSpec = {
    hostNetwork: true,
    priorityClassName: 'system-node-critical',
    terminationGracePeriodSeconds: 10,
    containers: [
      {
        name: natExemption,
        image,
        imagePullPolicy: 'IfNotPresent',
        args,
        env: Object.entries(env).map(([name, value]) => ({ name, value })),
        startupProbe: startup,
        securityContext: rootWith('NET_ADMIN'),
        resources: limitedMemory('128Mi'),
        volumeMounts: scratchSpace.mounts,
      },
    ],
    volumes: scratchSpace.volumes,
  };
  return ownDaemonSet(natExemption, podSpec, maxUnavailable);
}
