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

const words = { equal: 'the same', 'equal-if': 'the same, if', different: '**different**' };

/** The report as Markdown. */
export function policyMarkdown(report: PolicyReport): string {
  const { counts, flows, equal, policies, more } = report;
  const kinds = Object.entries(counts).map(([kind, count]) => `${count} ${kind}`);
  const lines = [
    `Policies: ${kinds.join(', ') || 'none'}. ${equal} are judged the same on Cilium, for each of ${flows} kinds of flows.`,
  ];
  if (policies.length > 0) lines.push('', '| policy | on Cilium | why | made for it |', '| --- | --- | --- | --- |');
  for (const { policy, verdict, conditions, reasons, objects } of policies) {
    const why = [...conditions, ...reasons].map(escape).join('<br>');
    lines.push(`| ${escape(policy)} | ${words[verdict]} | ${why} | ${objects.map(escape).join('<br>')} |`);
  }
  if (more > 0) lines.push('', `And ${more} more.`);
  return lines.join('\n');
}

function escape(text: string): string {
  return text.replaceAll('|', '\\|').replaceAll('<', '&lt;').replaceAll('\n', ' ');
}
