import type { FailureType } from './failure-types.ts';

/** Every check before a migration, by the name that waivers and scripts use: never renamed. */
export const checkNames = [
  'source-network',
  'calico-features',
  'node-address',
  'ip-family',
  'pod-cidr-overlap',
  'pod-cidr-capacity',
  'tunnel-port',
  'tunnel-path',
  'kernel',
  'rp-filter',
  'mtu',
  'kube-proxy',
  'cluster-dns',
  'node-health',
  'version-skew',
  'rollouts',
  'disruption-budgets',
  'unmanaged-pods',
  'local-data',
  'host-ports',
  'spare-capacity',
  'webhooks',
  'other-cni',
  'cilium-leftovers',
  'owners',
  'autoscaler',
  'network-policies',
  'old-pod-cidr',
  'backup',
  'permissions',
  'chart',
  'server-dry-run',
] as const;

/** One of {@link checkNames}. */
export type CheckName = (typeof checkNames)[number];

/** What a check says: go on, look at this, or do not begin. */
export type Verdict = 'pass' | 'warn' | 'block';

/** The outcome of one check. */
export interface CheckOutcome {
  check: CheckName;
  verdict: Verdict;
  /** What was seen. */
  evidence: string[];
  /** What to do about it; none for a check that passes. */
  fix?: string;
  /** How long it took, in ms. */
  ms: number;
  /** Why it does not hold the migration up although it blocks. */
  waived?: string;
}

/** A check that may fail, and why. */
export interface Waiver {
  check: CheckName;
  reason: string;
}

/** What the workflow `preflight` ends with. */
export interface PreflightReport {
  cluster: string;
  /** Whether a migration with this input would begin. */
  mayBegin: boolean;
  outcomes: CheckOutcome[];
}

/** Marks the outcomes that a waiver is about. */
export function withWaivers(outcomes: readonly CheckOutcome[], waivers: readonly Waiver[]): CheckOutcome[] {
  return outcomes.map((outcome) => {
    const waiver = waivers.find(({ check }) => check === outcome.check);
    return waiver === undefined || outcome.verdict !== 'block' ? outcome : { ...outcome, waived: waiver.reason };
  });
}

/** The outcomes that hold a migration up. */
export function blockers(outcomes: readonly CheckOutcome[]): CheckOutcome[] {
  return outcomes.filter(({ verdict, waived }) => verdict === 'block' && waived === undefined);
}

/** The failure of a run that may not begin; undefined when it may. */
export function preflightFailure(
  outcomes: readonly CheckOutcome[]
): { type: FailureType; message: string } | undefined {
  const found = blockers(outcomes);
  if (found.length === 0) return undefined;
  const lines = found.flatMap(({ check, evidence, fix }) => [
    `${check}: ${evidence.slice(0, 5).join('; ')}`,
    ...(fix === undefined ? [] : [`  ${fix}`]),
  ]);
  const names = found.map(({ check }) => `{"check": "${check}", "reason": "…"}`).join(', ');
  return {
    type: 'PreflightBlocked',
    message:
      `${found.length} of ${outcomes.length} checks block the migration; nothing was changed.\n${lines.join('\n')}\n` +
      `Where you know better, start with "waivers": [${names}]`,
  };
}
