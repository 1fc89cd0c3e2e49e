/** What becomes of one policy on Cilium. */
export interface PolicyVerdict {
  /** Kind, namespace and name. */
  policy: string;
  /** Judged the same for every flow; the same as long as the conditions hold; or otherwise for some flow. */
  verdict: 'equal' | 'equal-if' | 'different';
  /** What has to hold, for `equal-if`. */
  conditions: string[];
  /** For `different`: what Cilium has no words for, and flows that are judged otherwise. */
  reasons: string[];
  /** What Cilium is given for it: for Kubernetes' own, what is added beside it. */
  objects: string[];
}

/** What becomes of a cluster's policies on Cilium. */
export interface PolicyReport {
  /** How many there are of each kind. */
  counts: Record<string, number>;
  /** How many kinds of flows both networks' rules were asked about. */
  flows: number;
  /** How many policies are judged the same, whatever comes. */
  equal: number;
  /** The others, and those for which something is made. At most {@link maxTold}. */
  policies: PolicyVerdict[];
  /** How many more there are than are told. */
  more: number;
}

/** A report is part of a workflow's history: so many policies are told one by one. */
const maxTold = 100;

/** Sums verdicts up. */
export function policyReport(
  counts: Record<string, number>,
  flows: number,
  verdicts: readonly PolicyVerdict[]
): PolicyReport {
  const rank = { different: 0, 'equal-if': 1, equal: 2 };
  const told = verdicts
    .filter(({ verdict, objects }) => verdict !== 'equal' || objects.length > 0)
    .sort((a, b) => rank[a.verdict] - rank[b.verdict]);
  return {
    counts,
    flows,
    equal: verdicts.filter(({ verdict }) => verdict === 'equal').length,
    policies: told.slice(0, maxTold),
    more: Math.max(0, told.length - maxTold),
  };
}

/** The policies that are judged otherwise on Cilium. */
export function differentPolicies({ policies }: PolicyReport): PolicyVerdict[] {
  return policies.filter(({ verdict }) => verdict === 'different');
}

/** What {@link clusterPolicyReport} finds. */
export interface ClusterPolicyReport extends PolicyReport {
  cluster: string;
  /** Whether every policy is judged the same on Cilium, at least under the conditions that are told. */
  same: boolean;
}
