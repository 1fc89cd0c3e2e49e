import { summarizeLines } from './summarize.ts';

/** Result of the comparison of one policy on Cilium. */
export interface PolicyVerdict {
  /** Kind, namespace and name of the policy. */
  policy: string;
  /**
   * `equal`: the same verdict for every flow; `equal-if`: the same under conditions; `different`: another verdict for a
   * flow.
   */
  verdict: 'equal' | 'equal-if' | 'different';
  /** Conditions that must hold, for `equal-if`. */
  conditions: string[];
  /** For `different`: features without a Cilium equivalent, and flows with another verdict. */
  reasons: string[];
  /** Objects created for it on Cilium. For a Kubernetes NetworkPolicy: the additional ones. */
  objects: string[];
}

/** Result of the comparison of a cluster's policies on Cilium. */
export interface PolicyReport {
  /** Number of policies of each kind. */
  counts: Record<string, number>;
  /** Number of classes of flows that the rules of both networks were evaluated for. */
  flows: number;
  /** Number of policies with the same verdict for every flow. */
  equal: number;
  /** Other policies, and those with translated objects. At most {@link maxListed}. */
  policies: PolicyVerdict[];
  /** Number of policies left out of `policies`. */
  more: number;
}

/** Maximum number of policies listed one by one: a report is part of a workflow's history. */
const maxListed = 100;

/** Maximum number of conditions and of reasons of a policy, and of characters of each: some quote the policy. */
const maxLines = 10;
const maxLineLength = 300;

function shorten(lines: readonly string[]): string[] {
  return summarizeLines(
    lines.map((line) => line.slice(0, maxLineLength)),
    maxLines
  );
}

/** Summarizes verdicts. */
export function buildPolicyReport(
  counts: Record<string, number>,
  flows: number,
  verdicts: readonly PolicyVerdict[]
): PolicyReport {
  const rank = { different: 0, 'equal-if': 1, equal: 2 };
  const listed = verdicts
    .filter(({ verdict, objects }) => verdict !== 'equal' || objects.length > 0)
    .sort((a, b) => rank[a.verdict] - rank[b.verdict]);
  return {
    counts,
    flows,
    equal: verdicts.filter(({ verdict }) => verdict === 'equal').length,
    policies: listed.slice(0, maxListed).map((policy) => {
      return { ...policy, conditions: shorten(policy.conditions), reasons: shorten(policy.reasons) };
    }),
    more: Math.max(0, listed.length - maxListed),
  };
}

/** Returns the policies with a different verdict on Cilium. */
export function differentPolicies({ policies }: PolicyReport): PolicyVerdict[] {
  return policies.filter(({ verdict }) => verdict === 'different');
}

/** Result of {@link clusterPolicyReport}. */
export interface ClusterPolicyReport extends PolicyReport {
  cluster: string;
  /** True when every policy has the same verdict on Cilium, at least under the listed conditions. */
  same: boolean;
}
