import { differentPolicies } from '../../../model/policies.ts';
import { readAndComparePolicies } from '../../policy/policy-activities.ts';
import { block, pass, warn, worst, type PreflightCheck } from '../check.ts';

/** Maximum number of policies that are listed. */
const maxListed = 10;

/** Checks that Cilium evaluates the cluster's policies as Calico does. */
export const networkPolicies: PreflightCheck = {
  ensures: 'Every policy says the same on Cilium: Kubernetes’ NetworkPolicies, and Calico’s own in their translation.',
  verdicts:
    'Blocks for each policy by which some flow is judged otherwise, with one such flow; warns for policies that are judged the same under a condition, and when policies are not enforced until the cutover.',
  fix: 'Change the policy so that both networks judge the same, write it as Cilium’s own and remove it, or waive this check: a policy of Calico’s that differs is not enforced on migrated nodes then.',
  rationale:
    'Cilium does not read Calico’s objects, has no order among policies, and its CIDRs are never about pods (docs/policies.md).',
  run: async ({ connection, input, canal }) => {
    if ((await canal()) === undefined) return pass('Canal is not installed');
    const { report } = await readAndComparePolicies(connection, input);
    const kinds = Object.entries(report.counts).map(([kind, count]) => `${count} ${kind}`);
    const text = ({ policy, conditions, reasons }: (typeof report.policies)[number]): string =>
      `${policy}: ${[...conditions, ...reasons].slice(0, 3).join('; ')}`;
    const different = differentPolicies(report);
    const conditional = report.policies.filter(({ verdict }) => verdict === 'equal-if');
    return worst(
      pass(
        `${kinds.join(', ') || 'no policies'}; ${report.equal} are judged the same for each of ${report.flows} kinds of flows`
      ),
      different.length > 0 ? block(...different.slice(0, maxListed).map(text)) : pass('none is judged otherwise'),
      conditional.length > 0 ? warn(...conditional.slice(0, maxListed).map(text)) : pass('none depends on a condition'),
      input.policyMode === 'enforce' || kinds.length === 0
        ? pass('policies are enforced throughout')
        : warn(`policies are not enforced on migrated nodes until the cutover: policyMode is "${input.policyMode}"`)
    );
  },
};
