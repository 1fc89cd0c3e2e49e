import type { PolicyReport } from './policies.ts';
import type { Ledger } from './ledger.ts';
import type { Plan } from './plan.ts';
import type { CheckOutcome } from './preflight.ts';
import type { Rehearsal } from './dry-run.ts';

/** The phases of a cluster's migration, in order; the last two are the way back. */
export const phases = [
  'preflight',
  'plan',
  'coexistence',
  'migrate',
  'cut-over',
  'clean-up',
  'done',
  'rolling-back',
  'rolled-back',
] as const;

/** One of {@link phases}. */
export type Phase = (typeof phases)[number];

/**
 * What becomes of a node. `failed`, `skipped`, `not-ready` and `rolled-back` ones are set aside until somebody retries
 * them, or, for `not-ready`, until they are Ready again; `gone` ones have left the cluster.
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
  | 'gone';

/** Who decided, why, and when (ISO 8601, UTC). */
export interface Decision {
  by: string;
  reason: string;
  at: string;
}

/** What keeps a pod on its node. */
export interface Blocker {
  /** namespace/name */
  pod: string;
  /** In words, with the disruption budget's name where it is one. */
  reason: string;
  /** `stuck`: its grace period is over and it is still there. */
  kind: 'budget' | 'ends' | 'stuck' | 'waits';
}

/** What a node's workflow tells its cluster's. */
export interface NodeProgress {
  node: string;
  /** What holds it up; empty when nothing does. */
  blockers: Blocker[];
  /** What it waits for a human to do. */
  waitingFor?: string;
}

/** One node in the status. */
export interface NodeStatus {
  name: string;
  state: NodeState;
  /** Number of the wave that it is or was in. */
  wave?: number;
  /** Who let it go on. */
  approval?: Decision;
  /** Who set it aside, or took it up again. */
  decision?: Decision;
  /** When its latest migration began and ended, whatever with (ISO 8601, UTC). */
  startedAt?: string;
  endedAt?: string;
  /** Seconds that its migration took. */
  seconds?: number;
  /** Why it failed. */
  failure?: { type: string; message: string };
  /** What its workflow waits for a human to do. */
  waitingFor?: string;
  /** What holds it up just now. */
  blockers?: Blocker[];
}

/** Where a migration is. */
export interface MigrationStatus {
  cluster: string;
  phase: Phase;
  /** What it waits for just now, in words; undefined while it works. */
  waitingFor?: string;
  /** Since when (ISO 8601, UTC), how often that was called to mind, and the messages that end it. */
  waiting?: { since: string; reminders: number; answers: Answer[] };
  /** Who paused it. */
  paused?: Decision;
  /** Nodes of one wave at most. */
  concurrency: number;
  /** Waves begun so far. */
  waves: number;
  nodes: NodeStatus[];
  /** Who approved the plan and the clean-up. */
  approvals: { plan?: Decision; cleanup?: Decision };
  /** When each phase began (ISO 8601, UTC) and how long it took, in seconds; none yet for the current one. */
  timeline: { phase: Phase; startedAt: string; seconds?: number }[];
  /** Messages that made no sense, and other things worth knowing, newest last; at most 50 are kept. */
  notes: string[];
}

/** A message that ends a wait. */
export interface Answer {
  /** What it does, in a word or two. */
  does: string;
  message: string;
  input: Readonly<Record<string, string | number | boolean>>;
}

/** How many notes are kept. */
export const maxNotes = 50;

/** The result of a migration. */
export interface MigrationReport extends MigrationStatus {
  /** False when the cluster had been migrated before and there was nothing to do. */
  changed: boolean;
  /** Outcomes of the checks that it began with. */
  preflight?: CheckOutcome[];
  /** What became of the policies. */
  policies?: PolicyReport;
  /** What was measured on every kind of path, by stage. */
  ledger?: Ledger;
  /** Of a dry run: what would be done, as a plan and step by step. */
  plan?: Plan;
  rehearsal?: Rehearsal[];
  /** Where Calico's objects were exported to: `namespace/name` of ConfigMaps. */
  calicoExport?: string[];
}

/** A blocker in one line. */
export function blockerText({ pod, reason }: Blocker): string {
  return `pod ${pod}: ${reason}`;
}

/** How many are in each state, in words. */
export function countsText(list: readonly { state: string }[]): string {
  const states = new Map<string, number>();
  for (const { state } of list) states.set(state, (states.get(state) ?? 0) + 1);
  return [...states].map(([state, count]) => `${count} ${state}`).join(', ');
}
