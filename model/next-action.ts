/** Decides what a migration does next in the phase migrate, from the decisions of people and the state of the nodes. */
import { rollbackKeepsWindows } from './decisions.ts';
import type { Decisions } from './message-context.ts';
import type { MigrationInput } from './input.ts';
import { mayBeProposed } from './node-transitions.ts';
import type { NodeFacts } from './nodes.ts';
import type { Decision } from './decision.ts';
import type { MigrationStatus, NodeStatus } from './status.ts';
import { nextWave, type Wave } from './waves.ts';

/** What happens next. */
export type NextAction =
  /** `keepsWindows`: it waits for a maintenance window; not by default. */
  | { kind: 'rollback'; node: string; keepsWindows?: true }
  /** The migration is paused. */
  | { kind: 'resume' }
  /** Nodes failed, or only sidelined nodes are left. */
  | { kind: 'decide'; nodes: NodeStatus[] }
  | { kind: 'soak'; untilMs: number }
  | { kind: 'approve'; wave: NumberedWave; missing: string[] }
  | { kind: 'start'; wave: NumberedWave }
  | { kind: 'finished' };

/** A wave with its number, from 1. */
export interface NumberedWave extends Wave {
  number: number;
}

/** State that decides. */
export interface Situation {
  status: MigrationStatus;
  decisions: Decisions;
  input: MigrationInput;
  facts: readonly NodeFacts[];
  /** End of the soak of the last wave (Unix ms); 0 without one. */
  soakUntilMs: number;
  nowMs: number;
}

/** Returns what happens next. Requests of operators come first, also while the migration is paused. */
export function nextAction(situation: Situation): NextAction {
  const { status, soakUntilMs, nowMs } = situation;
  const rollback = findRollback(situation);
  if (rollback !== undefined) return rollback;
  if (status.paused !== undefined) return { kind: 'resume' };
  const failed = status.nodes.filter(({ failure }) => failure !== undefined);
  if (failed.length > 0) return { kind: 'decide', nodes: failed };
  const wave = findNextWave(situation);
  if (wave === undefined) {
    const left = status.nodes.filter(({ state }) => state !== 'migrated' && state !== 'removed');
    return left.length === 0 ? { kind: 'finished' } : { kind: 'decide', nodes: left };
  }
  if (nowMs < soakUntilMs) return { kind: 'soak', untilMs: soakUntilMs };
  const missing = unapprovedNodes(wave, situation);
  return missing.length > 0 ? { kind: 'approve', wave, missing } : { kind: 'start', wave };
}

/** Returns the identity of an action: a wait for it continues as long as this stays the same. */
export function actionKey(action: NextAction): string {
  switch (action.kind) {
    case 'rollback':
      return `rollback ${action.node}${action.keepsWindows === true ? ' in a window' : ''}`;
    case 'decide':
      return JSON.stringify([
        'decide',
        ...action.nodes.map(({ name, state, failure }) => [name, state, failure?.type]),
      ]);
    case 'approve':
    case 'start':
      return JSON.stringify([action.kind, action.wave.number, ...action.wave.nodes]);
    default:
      return action.kind;
  }
}

/** Returns the next rollback of a node: one that does not wait for a maintenance window comes first. */
function findRollback({ status, decisions, input }: Situation): Extract<NextAction, { kind: 'rollback' }> | undefined {
  const { rollbacks } = decisions;
  const [first] = rollbacks;
  if (first === undefined) return undefined;
  if (input.windows.length === 0) return { kind: 'rollback', node: first };
  const waiting = status.nodes.filter((node) => rollbackKeepsWindows(node, decisions)).map(({ name }) => name);
  const immediate = rollbacks.find((name) => !waiting.includes(name));
  return immediate === undefined
    ? { kind: 'rollback', node: first, keepsWindows: true }
    : { kind: 'rollback', node: immediate };
}

function findNextWave({ status, input, facts }: Situation): NumberedWave | undefined {
  const eligible = new Set(status.nodes.filter(mayBeProposed).map(({ name }) => name));
  const wave = nextWave(
    facts.filter(({ name }) => eligible.has(name)),
    {
      maxConcurrency: status.maxConcurrency,
      canaryNode: input.waves.canaryNode,
      proven: status.nodes.some(({ state }) => state === 'migrated'),
    }
  );
  return wave && { ...wave, number: status.waves + 1 };
}

/** Returns the nodes of a wave that still need an approval. */
function unapprovedNodes(wave: NumberedWave, situation: Situation): string[] {
  const { approval: mode } = situation.input;
  const canaryOnly = mode === 'canary-only' && !wave.reason.startsWith('canary');
  if (mode === 'none' || canaryOnly) return [];
  return wave.nodes.filter((name) => approvalOf(name, wave.number, situation) === undefined);
}

/**
 * Returns the approval of a node in a wave. The approval of a wave in advance covers the nodes that the cluster had
 * then. A node that joined after an approval needs another one.
 */
export function approvalOf(
  name: string,
  waveNumber: number,
  { status, decisions: { approvals } }: Pick<Situation, 'status' | 'decisions'>
): Decision | undefined {
  const joinedAt = status.nodes.find((node) => node.name === name)?.joinedAt ?? '';
  // A node may be called "constructor".
  const own = Object.hasOwn(approvals.nodes, name) ? approvals.nodes[name] : undefined;
  const given = [own, approvals.waves[String(waveNumber)]];
  return given.find((approval) => approval !== undefined && joinedAt <= approval.at);
}
