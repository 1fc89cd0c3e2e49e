import type { ApiVersion } from '../../model/api-version.ts';
import {
  byKind,
  ledgerStages,
  pathKinds,
  type Ledger,
  type LedgerRow,
  type LedgerStage,
  type PathKind,
} from '../../model/ledger.ts';
import { approvedPlanText } from '../../model/plan-approval.ts';
import type { PolicyReport } from '../../model/policies.ts';
import type { CheckOutcome } from '../../model/preflight.ts';
import type { Decision } from '../../model/decision.ts';
import type { MigrationStatus, NodeStatus } from '../../model/status.ts';

/** Data of a report. */
export interface ReportData {
  apiVersion: ApiVersion;
  status: MigrationStatus;
  preflight: readonly CheckOutcome[];
  /** Result of the policy comparison, once there was one. */
  policies?: PolicyReport | undefined;
  ledger: Ledger;
  /** Workflow ID of the migration, and its status: `RUNNING`, `COMPLETED`, `FAILED`, … */
  workflowId: string;
  outcome: string;
  /** Cause of its failure, if it failed. */
  failure?: string | undefined;
  /** ConfigMaps with the export of Calico's objects. */
  calicoExport: readonly string[];
  /** Creation time of the report (ISO 8601, UTC). */
  createdAt: string;
}

/** A bar of the timeline. Times are Unix ms. */
export interface Bar {
  label: string;
  fromMs: number;
  toMs: number;
  /** State that determines the colour. */
  state: string;
}

/** Returns the phases as bars. The current phase ends now. */
export function phaseBars({ status, createdAt }: Pick<ReportData, 'status' | 'createdAt'>): Bar[] {
  return status.timeline
    .filter(({ phase }) => phase !== 'done' && phase !== 'rolled-back')
    .map(({ phase, startedAt, seconds }) => {
      const fromMs = Date.parse(startedAt);
      return {
        label: phase,
        fromMs,
        toMs: seconds === undefined ? Date.parse(createdAt) : fromMs + seconds * 1_000,
        state: 'phase',
      };
    });
}

/** Returns the nodes whose migration has started as bars, wave by wave. */
export function nodeBars({ status, createdAt }: Pick<ReportData, 'status' | 'createdAt'>): Bar[] {
  return status.nodes
    .filter((node): node is NodeStatus & { startedAt: string } => node.startedAt !== undefined)
    .sort((a, b) => (a.wave ?? 0) - (b.wave ?? 0) || Date.parse(a.startedAt) - Date.parse(b.startedAt))
    .map(({ name, wave, state, startedAt, endedAt }) => ({
      label: wave === undefined ? name : `wave ${wave}: ${name}`,
      fromMs: Date.parse(startedAt),
      toMs: Date.parse(endedAt ?? createdAt),
      state,
    }));
}

/** Measurements of one kind of path, by stage. */
export interface PathLine {
  kind: PathKind;
  meaning: string;
  stages: Partial<Record<LedgerStage, LedgerRow>>;
}

/** Combines the ledger across networks, in the order of the kinds. */
export function pathLines(ledger: Ledger): PathLine[] {
  const sums = new Map(ledgerStages.map((stage) => [stage, byKind(ledger[stage] ?? [])]));
  return (Object.keys(pathKinds) as PathKind[]).flatMap((kind) => {
    const stages: PathLine['stages'] = {};
    for (const stage of ledgerStages) {
      const row = sums.get(stage)?.find((candidate) => candidate.kind === kind);
      if (row !== undefined) stages[stage] = row;
    }
    return Object.keys(stages).length === 0 ? [] : [{ kind, meaning: pathKinds[kind], stages }];
  });
}

/** Returns the decisions with their subjects, in chronological order. */
export function decisions({ status }: Pick<ReportData, 'status'>): [subject: string, decision: Decision][] {
  const entries: [string, Decision | undefined][] = [
    [planSubject(status.approvals.plan), status.approvals.plan],
    ...status.nodes.flatMap((node): [string, Decision | undefined][] => [
      [`node ${node.name}`, node.approval],
      [`${node.name}: ${node.state}`, node.decision],
    ]),
    ['cutover', status.approvals.cutover],
    ['cleanup', status.approvals.cleanup],
    ['pause', status.paused],
  ];
  return entries
    .filter((entry): entry is [string, Decision] => entry[1] !== undefined)
    .sort(([, a], [, b]) => (a.at < b.at ? -1 : 1));
}

/** Returns the subject of an approval of the plan: which one was approved, and whether the approval named it. */
function planSubject(approval: Decision | undefined): string {
  const plan = approval && approvedPlanText(approval);
  return plan === undefined ? 'plan' : `plan ${plan}`;
}
