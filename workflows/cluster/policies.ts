import { differentPolicies } from '../../model/policies.ts';
import { summarizeList } from '../../model/summarize.ts';
import type { Migration } from './migration.ts';

/** Maximum number of policies that are named in the reason for a pause. */
const maxNamed = 5;

/**
 * Deploys the identity bridge, so that NetworkPolicies apply to every packet by the labels of both pods while pods are
 * on Canal and on Cilium. Skipped when policies are off until the cutover.
 */
export async function bridgeIdentities({ run, input }: Migration): Promise<void> {
  const { cluster, podCidr, coexistenceImage, policyMode } = input;
  if (policyMode === 'off') return;
  await run('deployIdentityBridge', 'deploy identity bridge', { cluster, targetPodCidr: podCidr, coexistenceImage });
}

/** Removes the identity bridge, once no pod needs it or Cilium itself is removed. */
export async function removeBridge({ run, input: { cluster, podCidr } }: Migration): Promise<void> {
  await run('removeIdentityBridge', 'remove identity bridge', { cluster, targetPodCidr: podCidr });
}

/**
 * Applies translated policies, so that Cilium gives the same verdicts as Calico for the current policies. Runs before
 * the first node, before every wave, because people change policies, and at the end. A new policy with a different
 * verdict on Cilium pauses the migration, unless the check `network-policies` is waived.
 */
export async function translatePolicies(migration: Migration): Promise<void> {
  const { input, state } = migration;
  const report = await migration.run('applyTranslatedPolicies', 'apply translated policies', { input });
  const knownDifferent = new Set(differentPolicies(state.policies ?? report).map(({ policy }) => policy));
  const isFirstReport = state.policies === undefined;
  state.policies = report;
  if (input.waivers.some(({ check }) => check === 'network-policies')) return;
  const different = differentPolicies(report).filter(({ policy }) => isFirstReport || !knownDifferent.has(policy));
  if (different.length === 0) return;
  const names = different.map(({ policy, reasons }) => `${policy} (${reasons[0] ?? ''})`);
  migration.pauseFor(
    `Cilium gives other verdicts than Calico for these policies: ${summarizeList(names, maxNamed)}. Change them, or resume to continue with these verdicts`
  );
}
