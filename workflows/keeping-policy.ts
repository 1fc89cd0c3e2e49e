import { patient } from './activity-proxies.ts';
import type { MigrationInput } from './model/input.ts';

/**
 * Has NetworkPolicies judge every packet by the labels of the pods at both ends, while some pods are on Canal and some on
 * Cilium. Not when policy is off until the cut-over.
 */
export async function bridgeIdentities({
  cluster,
  podCidr,
  coexistenceImage,
  policyMode,
}: MigrationInput): Promise<void> {
  if (policyMode === 'off') return;
  await patient.deployIdentityBridge.executeWithOptions({ summary: 'identity bridge, in step with every pod' }, [
    { cluster, targetPodCidr: podCidr, coexistenceImage },
  ]);
}

/** Takes the bridge away, once no pod is left that needs it or Cilium itself goes. */
export async function removeBridge({ cluster, podCidr }: MigrationInput): Promise<void> {
  await patient.removeIdentityBridge.executeWithOptions({ summary: 'remove the identity bridge' }, [
    { cluster, targetPodCidr: podCidr },
  ]);
}
