import type { FailureType } from './failure-types.ts';

/** Names of the preflight checks, which waivers and scripts use: never renamed. */
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
  'packet-filter',
  'cni-folder',
  'cluster-dns',
  'node-health',
  'version-skew',
  'rollouts',
  'disruption-budgets',
  'unmanaged-pods',
  'local-data',
  'host-ports',
  'spare-capacity',
  'added-pods',
  'webhooks',
  'other-cni',
  'cilium-leftovers',
  'owners',
  'autoscaler',
  'network-policies',
  'old-pod-cidr',
  'backup',
  'permissions',
  'helper-namespace',
  'chart',
  'chart-version',
  'server-dry-run',
] as const;

/** One of {@link checkNames}. */
export type CheckName = (typeof checkNames)[number];

/** Verdict of a check: pass, warn, or block the migration. */
export type Verdict = 'pass' | 'warn' | 'block';

/** The outcome of one check. */
export interface CheckOutcome {
  check: CheckName;
  verdict: Verdict;
  /** Observed state. */
  evidence: string[];
  /** Remedy; undefined for a check that passes. */
  fix?: string;
  /** Duration in ms. */
  ms: number;
  /** Reason of the waiver with which the migration continues although the check blocks. */
  waived?: string;
}

/** A check that may block without stopping the migration, with the reason. */
export interface Waiver {
  check: CheckName;
  reason: string;
}

/** Result of the workflow `preflight`. */
export interface PreflightReport {
  cluster: string;
  /** True when a migration with this input would start. */
  mayStart: boolean;
  outcomes: CheckOutcome[];
}

/** Marks the waived outcomes. */
export function applyWaivers(outcomes: readonly CheckOutcome[], waivers: readonly Waiver[]): CheckOutcome[] {
  return outcomes.map((outcome) => {
    const waiver = waivers.find(({ check }) => check === outcome.check);
    return waiver === undefined || outcome.verdict !== 'block' ? outcome : { ...outcome, waived: waiver.reason };
  });
}

/** Returns the outcomes that block a migration. */
export function blockingOutcomes(outcomes: readonly CheckOutcome[]): CheckOutcome[] {
  return outcomes.filter(({ verdict, waived }) => verdict === 'block' && waived === undefined);
}

/** Returns the failure of a run that must not start; undefined when it may start. */
export function preflightFailure(
  outcomes: readonly CheckOutcome[]
): { type: FailureType; message: string } | undefined {
  const blocking = blockingOutcomes(outcomes);
  if (blocking.length === 0) return undefined;
  const lines = blocking.flatMap(({ check, evidence, fix }) => [
    `${check}: ${evidence.slice(0, 5).join('; ')}`,
    ...(fix === undefined ? [] : [`  ${fix}`]),
  ]);
  const names = blocking.map(({ check }) => `{"check": "${check}", "reason": "…"}`).join(', ');
  return {
    type: 'PreflightBlocked',
    message:
      `${blocking.length} of ${outcomes.length} checks block the migration; nothing was changed.\n${lines.join('\n')}\n` +
      `To start although they block, add "waivers": [${names}] to the input`,
  };
}
