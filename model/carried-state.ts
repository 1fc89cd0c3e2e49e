/**
 * The state of a migration as one run hands it to the next. It must fit into the input of a run: a large one is written
 * compactly, and one that is still too large loses texts that the history of the earlier run keeps.
 */
import { jsonBytes } from './byte-budget.ts';
import { compactJson, expandJson, type CompactJson } from './compact-json.ts';
import { stateVersion, type MigrationState } from './migration-state.ts';
import type { Decision } from './decision.ts';
import { appendNote, type NodeStatus } from './status.ts';

/** State as carried: as it is, which people can read, or compactly. */
export type CarriedState = MigrationState | { version: typeof stateVersion; compact: CompactJson };

/** Maximum size of the input of the next run in bytes. The server terminates a run above 2 MiB (2,097,152). */
export const maxCarriedBytes = 1_500_000;

/** Size up to which a state is carried as it is, in bytes. */
const maxPlainBytes = 200_000;

/** Result of {@link carryState}. */
export interface Carried {
  state: CarriedState;
  bytes: number;
  /** What was dropped so that the state fits. */
  dropped: string[];
}

/**
 * Returns the state for the next run. Decisions and the states of nodes are never dropped.
 * @param maxBytes maximum size in bytes.
 * @returns the carried state; only its size when the state is too large even after all reductions.
 */
export function carryState(state: MigrationState, maxBytes = maxCarriedBytes): Carried | { bytes: number } {
  let carried = encodeState(state);
  if (carried.bytes <= maxBytes) return { ...carried, dropped: [] };
  const plainBytes = jsonBytes(state);
  const dropped: string[] = [];
  let reduced = state;
  for (const [index, { what, reduce }] of reductions.entries()) {
    reduced = reduce(reduced);
    dropped.push(what);
    // A workflow task has 5 s. The compact form of a large state takes a part of it, so it is only computed where it may
    // fit: it shrinks by at most as many bytes as the state itself.
    const isLast = index === reductions.length - 1;
    const mayFit = carried.bytes - (plainBytes - jsonBytes(reduced)) <= maxBytes;
    if (!mayFit && !isLast) continue;
    const next = encodeState(
      withNote(reduced, `to continue as a new run, the state was reduced: ${dropped.join(', ')}`)
    );
    if (next.bytes <= maxBytes) return { ...next, dropped };
    if (isLast) carried = next;
  }
  return { bytes: carried.bytes };
}

function withNote(state: MigrationState, text: string): MigrationState {
  return { ...state, status: { ...state.status, notes: appendNote(state.status.notes, text) } };
}

function encodeState(state: MigrationState): { state: CarriedState; bytes: number } {
  const plainBytes = jsonBytes(state);
  if (plainBytes <= maxPlainBytes) return { state, bytes: plainBytes };
  const compact = { version: stateVersion, compact: compactJson(state) } as const;
  return { state: compact, bytes: jsonBytes(compact) };
}

/**
 * Parses the state of the previous run.
 * @throws Error for a state of a version that this build does not know.
 */
export function parseState(carried: unknown): MigrationState {
  const { version, compact } = (carried ?? {}) as { version?: unknown; compact?: CompactJson };
  if (version !== stateVersion)
    throw new Error(`this build knows version ${stateVersion} of the state, not ${JSON.stringify(version)}`);
  return (compact === undefined ? carried : expandJson(compact)) as MigrationState;
}

/** Limits of what a reduced state keeps: a number of notes, and lengths in characters. */
const keptNotes = 10;
const keptNoteLength = 300;
const keptFailureLength = 200;
const keptEvidenceLines = 3;
const keptEvidenceLength = 200;
const keptReasonLength = 60;

/** A way to make a state smaller. */
interface Reduction {
  /** What it drops. */
  what: string;
  /** Returns a smaller state, and leaves the given one unchanged. */
  reduce: (state: MigrationState) => MigrationState;
}

/** In this order, until the state fits. */
const reductions: readonly Reduction[] = [
  {
    what: 'old notes',
    reduce: (state) => {
      const notes = state.status.notes.slice(-keptNotes).map((note) => cut(note, keptNoteLength));
      return { ...state, status: { ...state.status, notes } };
    },
  },
  {
    what: 'texts of failures after the first 200 characters',
    reduce: (state) => withNodes(state, cutFailure),
  },
  {
    what: "the plan's effects on pods",
    reduce: (state) => (state.plan === undefined ? state : { ...state, plan: { ...state.plan, drains: [] } }),
  },
  {
    what: 'evidence of the checks',
    reduce: (state) =>
      state.preflight === undefined ? state : { ...state, preflight: state.preflight.map(cutEvidence) },
  },
  {
    what: 'measurements, which the ledger in the cluster keeps',
    reduce: (state) => ({ ...state, ledger: {} }),
  },
  {
    what: 'reasons in the policy comparison',
    reduce: (state) => {
      if (state.policies === undefined) return state;
      const policies = state.policies.policies.map((policy) => ({
        ...policy,
        conditions: [],
        reasons: [],
        objects: [],
      }));
      return { ...state, policies: { ...state.policies, policies } };
    },
  },
  {
    what: 'reasons of decisions about nodes after the first 60 characters',
    reduce: cutReasons,
  },
];

function cut(text: string, length: number): string {
  return text.length <= length ? text : `${text.slice(0, length - 1)}…`;
}

function withNodes(state: MigrationState, change: (node: NodeStatus) => NodeStatus): MigrationState {
  return { ...state, status: { ...state.status, nodes: state.status.nodes.map(change) } };
}

function cutFailure(node: NodeStatus): NodeStatus {
  const { failure } = node;
  if (failure === undefined) return node;
  return { ...node, failure: { ...failure, message: cut(failure.message, keptFailureLength) } };
}

function cutEvidence<Outcome extends { evidence: string[] }>(outcome: Outcome): Outcome {
  const lines = outcome.evidence.slice(0, keptEvidenceLines);
  return { ...outcome, evidence: lines.map((line) => cut(line, keptEvidenceLength)) };
}

/** Who decided, what and when stays. */
function cutReasons(state: MigrationState): MigrationState {
  const shorten = (decision: Decision): Decision => ({ ...decision, reason: cut(decision.reason, keptReasonLength) });
  const shortenAll = (decisions: Record<string, Decision>): Record<string, Decision> =>
    Object.fromEntries(Object.entries(decisions).map(([name, decision]) => [name, shorten(decision)]));
  const { approvals } = state.decisions;
  const shortened = withNodes(state, ({ approval, decision, ...node }) => ({
    ...node,
    ...(approval && { approval: shorten(approval) }),
    ...(decision && { decision: shorten(decision) }),
  }));
  const decisions = {
    ...state.decisions,
    approvals: { nodes: shortenAll(approvals.nodes), waves: shortenAll(approvals.waves) },
  };
  return { ...shortened, decisions };
}
