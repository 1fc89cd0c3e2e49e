import type { MigrationInput } from '../../model/input.ts';
import { readCiliumConfig } from '../cilium/config.ts';
import { applyObject } from '../kubernetes/apply.ts';
import type { ClusterConnection } from '../kubernetes/connection.ts';
import { ifFound } from '../kubernetes/errors.ts';
import { helperNamespace as namespace } from '../kubernetes/names.ts';
import type { OnCluster } from '../kubernetes/on-cluster.ts';
import { waitForOwnDaemonSet } from './daemon-set.ts';
import { bridgeObjects } from './identity-bridge-objects.ts';
import { identityBridge, natExemption } from './names.ts';
import { applyNamespace, requireOwnNamespace } from './namespace.ts';
import { natExemptionObject } from './nat-exemption.ts';
import { hostProber, prober, proberPeer } from './prober-ports.ts';
import { deployProbers } from './probers.ts';

/** Input of `restoreHelpers`. */
export interface HelpersTarget {
  input: MigrationInput;
  sourcePodCidr: string;
}

/** Creates the activity that recreates deleted helpers. */
export function createRestorationActivities(onCluster: OnCluster) {
  return {
    /**
     * Recreates the helpers that were deleted: probers, NAT exemption, and identity bridge, unless `policyMode` is off.
     * Waits until the NAT exemption and recreated probers run; `requireIdentityBridge` waits for the bridge. Helpers
     * that exist stay unchanged. It is for the time between coexistence and cutover, in which all of them are required.
     * @returns the names of the helpers that were missing.
     * @throws AgentNotReady naming what is not running.
     */
    restoreHelpers: onCluster('restore our helpers', async (connection, target: HelpersTarget): Promise<string[]> =>
      restoreHelpers(connection, target)
    ),
  };
}

async function restoreHelpers(
  connection: ClusterConnection,
  { input, sourcePodCidr }: HelpersTarget
): Promise<string[]> {
  const coexistence = { targetPodCidr: input.podCidr, coexistenceImage: input.coexistenceImage };
  await requireOwnNamespace(connection);
  const missing = await listMissing(connection, input.policyMode !== 'off');
  if (missing.length > 0) await applyNamespace(connection);
  if (missing.includes(natExemption))
    await applyObject(connection, natExemptionObject({ sourcePodCidr, ...coexistence }));
  if (missing.includes(identityBridge))
    for (const object of bridgeObjects(coexistence, await readCiliumConfig(connection)))
      await applyObject(connection, object);
  if ([prober, proberPeer, hostProber].some((name) => missing.includes(name)))
    await deployProbers(connection, {
      targetPodCidr: input.podCidr,
      proberImage: input.proberImage,
      ledger: input.ledger,
    });
  // Also when an earlier attempt recreated it, and was interrupted before it ran.
  await waitForOwnDaemonSet(connection, natExemption);
  return missing;
}

/** Returns the names of the helpers that do not exist. */
async function listMissing({ apps }: ClusterConnection, requiresBridge: boolean): Promise<string[]> {
  const daemonSets = [natExemption, prober, proberPeer, hostProber];
  const found = await Promise.all([
    ...daemonSets.map((name) => ifFound(apps.readNamespacedDaemonSet({ name, namespace }))),
    ...(requiresBridge ? [ifFound(apps.readNamespacedDeployment({ name: identityBridge, namespace }))] : []),
  ]);
  return [...daemonSets, identityBridge].filter((_, index) => index < found.length && found[index] === undefined);
}
