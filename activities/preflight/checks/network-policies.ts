import { differentPolicies } from '../../../model/policies.ts';
import { readAndComparePolicies } from '../../policy/policy-activities.ts';
import { block, pass, warn, worst, type PreflightCheck } from '../check.ts';

/** Maximum number of policies that are listed. */
const maxListed = 10;

/** Checks that Cilium evaluates the cluster's policies as Calico does. */
export const networkPolicies: PreflightCheck = {
  ensures:
    'Every policy has the same verdicts on Cilium: Kubernetes NetworkPolicies, and Calico policies in their translation.',
  verdicts:
    'Blocks for each policy with a different verdict for some flow, and names one such flow; warns about policies whose verdicts are the same only under conditions, and when policies are not enforced until the cutover.',
  fix: 'Change the policy so that both networks have the same verdicts, replace it with a Cilium policy, or waive this check: a Calico policy that differs is then not enforced on migrated nodes.',
  rationale:
    'Cilium does not read Calico policies, has no order of policies, and its CIDRs never match pods (docs/policies.md).',
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
        `${kinds.join(', ') || 'no policies'}; ${report.equal} have the same verdict for every one of ${report.flows} kinds of flows`
      ),
      different.length > 0 ? block(...different.slice(0, maxListed).map(text)) : pass('no verdict differs'),
      conditional.length > 0
        ? warn(...conditional.slice(0, maxListed).map(text))
        : pass('no verdict depends on a condition'),
      input.policyMode === 'enforce' || kinds.length === 0
        ? pass('policies are enforced throughout')
        : warn(`policies are not enforced on migrated nodes until the cutover: policyMode is "${input.policyMode}"`)
    );
  },
};
