import type { PolicyReport } from './policies.ts';
import type { Ledger } from './ledger.ts';
import type { Plan } from './plan.ts';
import type { CheckOutcome } from './preflight.ts';
import type { DryRunStep } from './dry-run.ts';
import type { RepeatedStep } from './attempts.ts';
import type { Answer, Decision } from './decision.ts';
import type { ApprovalTarget } from './migration-approval.ts';
import type { RemainingNode } from './remaining-nodes.ts';
import type { WaitKind } from './wait.ts';

/** Phases of a cluster's migration, in order; the last two belong to a rollback. */
export const phases = [
  'preflight',
  'plan',
  'coexistence',
  'migrate',
  'cutover',
  'cleanup',
  'done',
  'rolling-back',
  'rolled-back',
] as const;

/** One of {@link phases}. */
export type Phase = (typeof phases)[number];

/**
 * State of a node. `failed`, `skipped`, `not-ready` and `rolled-back` nodes are sidelined until an operator retries
 * them, or, for `not-ready`, until they are Ready again; `removed` nodes have left the cluster.
 */
export type NodeState =
  | 'pending'
  | 'awaiting-approval'
  | 'migrating'
  | 'migrated'
  | 'failed'
  | 'skipped'
  | 'not-ready'
  | 'rolling-back'
  | 'rolled-back'
  | 'removed';

/** A pod that keeps a drain from finishing. */
export interface Blocker {
  /** namespace/name */
  pod: string;
  /** Text of the reason, with the name of the disruption budget where there is one. */
  reason: string;
  /** `StuckTerminating`: the pod still exists after its grace period. */
  kind: 'DisruptionBudget' | 'Terminating' | 'StuckTerminating' | 'Waiting';
}

/** Progress that a node's workflow reports to its cluster's workflow. */
export interface NodeProgress {
  node: string;
  /** Current blockers; empty when there are none. */
  blockers: Blocker[];
  /** Action of an operator that it waits for. */
  waitingFor?: string;
  /**
   * True when that action is the repair of something that a step needs, such as an API server that does not answer.
   * @default false: it is a reboot
   */
  needsRepair?: boolean;
  /**
   * Its steps whose last attempts have failed.
   * @default none
   */
  repeatedSteps?: RepeatedStep[];
  /**
   * True while it restores the node or rolls it back, which no message interrupts.
   * @default false
   */
  isRestoring?: boolean;
  /** Run of the cluster's workflow that started the node's: a run ignores the progress of another run's nodes. */
  parentRunId: string;
}

/** One node in the status. */
export interface NodeStatus {
  name: string;
  state: NodeState;
  /** Number of its current or last wave. */
  wave?: number;
  /** Approval of its migration. */
  approval?: Decision;
  /** Decision to skip, retry or roll it back. */
  decision?: Decision;
  /** Start and end of its latest migration, whether it succeeded or failed (ISO 8601, UTC). */
  startedAt?: string;
  endedAt?: string;
  /** Duration of its migration, in seconds. */
  seconds?: number;
  /** Cause of its failure. */
  failure?: { type: string; message: string };
  /** Action of an operator that its workflow waits for. */
  waitingFor?: string;
  /** Start of that wait (ISO 8601, UTC). */
  waitingSince?: string;
  /** True when that action is the repair of something that a step needs. */
  needsRepair?: boolean;
  /** Steps of its workflow whose last attempts have failed. */
  repeatedSteps?: RepeatedStep[];
  /** Messages that end its wait. */
  answers?: Answer[];
  /** Time at which it joined the cluster, if that was during the migration (ISO 8601, UTC). */
  joinedAt?: string;
  /** Current blockers. */
  blockers?: Blocker[];
}

/** State of a cluster's migration. */
export interface MigrationStatus {
  cluster: string;
  phase: Phase;
  /** Text of what the migration waits for; undefined while it works. */
  waitingFor?: string;
  /** Details of the wait. */
  waiting?: MigrationWait;
  /** Steps of the whole cluster whose last attempts have failed, those that ask an operator first. */
  repeatedSteps?: RepeatedStep[];
  /** Decision to pause it. */
  paused?: Decision;
  /** True for a dry run, which changes nothing. */
  dryRun?: true;
  /**
   * Time of the point of no return, the start of Canal's removal (ISO 8601, UTC): from then on, nothing is rolled back.
   * Undefined before it.
   */
  pointOfNoReturn?: string;
  /** Maximum number of nodes in one wave. */
  maxConcurrency: number;
  /** Number of waves started so far. */
  waves: number;
  /**
   * Nodes. With more than 1,000 of them, a query without a page, and the result, list only those in which something
   * happens or has just happened.
   */
  nodes: NodeStatus[];
  /** Number of nodes in each state, when `nodes` is not the list of all. */
  nodeCounts?: Partial<Record<NodeState, number>>;
  /** Of a page: the position at which the next one starts. Undefined on the last page. */
  nextFrom?: number;
  /** Nodes that are switched off, and on which something remains to be done. Undefined without one. */
  remaining?: RemainingNode[];
  /** Digest of the plan as last computed (SHA-256). Undefined until then, and in runs that an earlier build began. */
  planDigest?: string;
  /** Approvals of the plan, of the cutover and of the cleanup. */
  approvals: { plan?: Decision; cutover?: Decision; cleanup?: Decision };
  /**
   * Run that approvals have to name, where they are objects of the cluster: MigrationApprovals. Undefined where the message
   * suffices.
   */
  approvalTarget?: Pick<ApprovalTarget, 'workflowId' | 'firstRunId'>;
  /** Start (ISO 8601, UTC) and duration in seconds of each phase; the current one has no duration yet. */
  timeline: { phase: Phase; startedAt: string; seconds?: number }[];
  /** Refused messages and other notable events, newest last; at most 50 are kept. */
  notes: string[];
}

/** Details of a wait. */
export interface Waiting {
  /** Start of the wait (ISO 8601, UTC). */
  since: string;
  /** Number of reminders so far. */
  reminders: number;
  /** Messages that end it. */
  answers: Answer[];
}

/** Details of a wait of a cluster's migration. */
export interface MigrationWait extends Waiting {
  kind: WaitKind;
  /** Identity within its kind, such as `wave 3`. */
  key: string;
  /** Time at which it ends without a message (ISO 8601, UTC). */
  deadline?: string;
}

/** Maximum number of notes. */
const maxNotes = 50;

/** Returns the notes with another one. The oldest are dropped. */
export function appendNote(notes: readonly string[], text: string): string[] {
  return [...notes, text].slice(-maxNotes);
}

/** Result of a migration. */
export interface MigrationReport extends MigrationStatus {
  /** False when the cluster was already migrated and there was nothing to do. */
  changed: boolean;
  /** Outcomes of its preflight checks. */
  preflight?: CheckOutcome[];
  /** Result of the policy comparison. */
  policies?: PolicyReport;
  /** Measurements of every kind of path, by stage. */
  ledger?: Ledger;
  /** Of a dry run: the plan, and the result of each step. */
  plan?: Plan;
  dryRunSteps?: DryRunStep[];
  /** Number of steps without a problem that are left out, in a large cluster. */
  dryRunStepsLeftOut?: number;
  /** ConfigMaps with the export of Calico's objects, `namespace/name`. */
  calicoExport?: string[];
}

/** Formats a blocker in one line. */
export function blockerText({ pod, reason }: Blocker): string {
  return `pod ${pod}: ${reason}`;
}

/** Formats the number of items in each state. */
export function countsText(list: readonly { state: string }[]): string {
  const states = new Map<string, number>();
  for (const { state } of list) states.set(state, (states.get(state) ?? 0) + 1);
  return [...states].map(([state, count]) => `${count} ${state}`).join(', ');
}
