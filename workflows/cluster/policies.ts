import { run } from '../support/run.ts';
import type { ClusterState } from './state.ts';
import type { MigrationInput } from '../../model/input.ts';
import { differentPolicies } from '../../model/policies.ts';
import { summarizeList } from '../../model/summarize.ts';

/** Maximum number of policies that are named in the reason for a pause. */
const maxNamed = 5;

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
  await run('deployIdentityBridge', 'deploy identity bridge', { cluster, targetPodCidr: podCidr, coexistenceImage });
}

/** Removes the identity bridge, once no pod needs it or Cilium itself is removed. */
export async function removeBridge({ cluster, podCidr }: MigrationInput): Promise<void> {
  await run('removeIdentityBridge', 'remove identity bridge', { cluster, targetPodCidr: podCidr });
}

/**
 * Applies translated policies, so that Cilium gives the same verdicts as Calico for the current policies. Runs before
 * the first node, before every wave, because people change policies, and at the end. A new policy with a different
 * verdict on Cilium pauses the migration, unless the check `network-policies` is waived.
 */
export async function translatePolicies(input: MigrationInput, state: ClusterState): Promise<void> {
  const report = await run('applyTranslatedPolicies', 'apply translated policies', { input });
  const knownDifferent = new Set(differentPolicies(state.policies ?? report).map(({ policy }) => policy));
  const isFirstReport = state.policies === undefined;
  state.policies = report;
  if (input.waivers.some(({ check }) => check === 'network-policies')) return;
  const different = differentPolicies(report).filter(({ policy }) => isFirstReport || !knownDifferent.has(policy));
  if (different.length === 0) return;
  const names = different.map(({ policy, reasons }) => `${policy} (${reasons[0] ?? ''})`);
  const reason = `Cilium gives other verdicts than Calico for these policies: ${summarizeList(names, maxNamed)}. Change them, or resume to continue with these verdicts`;
  state.note(reason);
  state.pauseFor(reason);
}
