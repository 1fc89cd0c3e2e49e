import { patient } from '../activity-proxies.ts';
import type { ClusterState } from './state.ts';
import type { MigrationInput } from '../../model/input.ts';
import { differentPolicies } from '../../model/policies.ts';

/**
 * Deploys the identity bridge, so that NetworkPolicies apply to every packet by the labels of both pods while pods are
 * on Canal and on Cilium. Skipped when policies are off until the cutover.
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

/** Removes the identity bridge, once no pod needs it or Cilium itself is removed. */
export async function removeBridge({ cluster, podCidr }: MigrationInput): Promise<void> {
  await patient.removeIdentityBridge.executeWithOptions({ summary: 'remove the identity bridge' }, [
    { cluster, targetPodCidr: podCidr },
  ]);
}

/**
 * Applies translated policies, so that Cilium gives the same verdicts as Calico for the current policies. Runs before
 * the first node, before every wave, because people change policies, and at the end. A new policy with a different
 * verdict on Cilium pauses the migration, unless the check `network-policies` is waived.
 */
export async function translatePolicies(input: MigrationInput, state: ClusterState): Promise<void> {
  const report = await patient.applyTranslatedPolicies.executeWithOptions({ summary: 'policies, as Cilium has them' }, [
    { input },
  ]);
  const knownDifferent = new Set(differentPolicies(state.policies ?? report).map(({ policy }) => policy));
  const isFirstReport = state.policies === undefined;
  state.policies = report;
  if (input.waivers.some(({ check }) => check === 'network-policies')) return;
  const different = differentPolicies(report).filter(({ policy }) => isFirstReport || !knownDifferent.has(policy));
  if (different.length === 0) return;
  const names = different.slice(0, 5).map(({ policy, reasons }) => `${policy} (${reasons[0] ?? ''})`);
  const reason = `policies that are judged otherwise on Cilium: ${names.join('; ')}. Change them, or resume to go on all the same`;
  state.note(reason);
  state.pauseFor(reason);
}
