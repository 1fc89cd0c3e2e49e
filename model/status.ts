import type { PolicyReport } from './policies.ts';
import { ledgerMarkdown, type Ledger } from './ledger.ts';
import { planMarkdown, type Plan } from './plan.ts';
import { preflightMarkdown, type CheckOutcome } from './preflight.ts';
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

/** At most this many nodes are shown as a table; more are counted by their state. */
const maxRows = 100;

/** What is shown beside the status, once it is there. */
export interface StatusDetails {
  preflight?: readonly CheckOutcome[] | undefined;
  plan?: Plan | undefined;
  ledger?: Ledger | undefined;
}

/** The status as Markdown, for the Web UI's current details. */
export function statusMarkdown(status: MigrationStatus, workflowId: string, details: StatusDetails = {}): string {
  const lines = [`**${cell(status.cluster)}**: ${status.phase}`, ''];
  if (status.paused !== undefined) {
    lines.push(`Paused by ${cell(status.paused.by)}: ${cell(status.paused.reason) || 'no reason given'}`, '');
  }
  if (status.waitingFor !== undefined) {
    const since = status.waiting === undefined ? '' : ` (since ${status.waiting.since})`;
    lines.push(`Waiting for ${status.waitingFor}${since}`, '');
  }
  for (const answer of status.waiting?.answers ?? []) {
    lines.push(`To ${answer.does}:`, '', '```', signalCommand(workflowId, answer), '```', '');
  }
  lines.push(...nodeLines(status.nodes));
  lines.push(...detailLines(status.phase, details));
  if (status.notes.length > 0) lines.push('Notes:', '', ...status.notes.map((note) => `- ${note}`));
  return lines.join('\n');
}

/** What matters in the phase: the checks and the plan at first, then what was measured. */
function detailLines(phase: Phase, { preflight, plan, ledger }: StatusDetails): string[] {
  const early = phase === 'preflight' || phase === 'plan';
  const lines: string[] = [];
  if (early && preflight !== undefined) lines.push('Checks:', '', preflightMarkdown(preflight), '');
  if (phase === 'plan' && plan !== undefined) lines.push('Plan:', '', planMarkdown(plan), '');
  if (phase === 'migrate' && plan !== undefined) {
    const { seconds, nodeSeconds, basis } = plan.estimate;
    lines.push(`About ${Math.ceil(seconds / 60)} minutes are left (${nodeSeconds} s a node: ${basis}).`, '');
  }
  if (!early && ledger !== undefined && Object.keys(ledger).length > 0) lines.push(ledgerMarkdown(ledger), '');
  return lines;
}

/** The Temporal CLI's command line for a message. */
export function signalCommand(workflowId: string, { message, input }: Answer): string {
  const words = JSON.stringify({ ...input, by: 'YOUR NAME' }).replaceAll("'", `'\\''`);
  return `temporal workflow signal --workflow-id '${workflowId}' --name ${message} --input '${words}'`;
}

function nodeLines(nodes: readonly NodeStatus[]): string[] {
  if (nodes.length === 0) return [];
  const lines = [countsText(nodes), ''];
  // Those on which nothing happens are of the least interest.
  const shown = nodes.length <= maxRows ? nodes : nodes.filter(({ state }) => !['pending', 'migrated'].includes(state));
  if (shown.length === 0) return lines;
  lines.push('| node | state | approved by | seconds | |', '|---|---|---|---|---|');
  for (const node of shown.slice(0, maxRows)) {
    const more = node.failure?.message ?? node.waitingFor ?? node.blockers?.map(blockerText).join('; ') ?? '';
    const cells = [node.name, node.state, node.approval?.by ?? '', node.seconds ?? '', more.slice(0, 500)];
    lines.push(`| ${cells.map((text) => cell(String(text))).join(' | ')} |`);
  }
  return [...lines, ''];
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

/** Text as it may stand in a cell of a Markdown table. */
export function cell(text: string): string {
  return text.replaceAll('|', '\\|').replaceAll(/\s+/g, ' ');
}
