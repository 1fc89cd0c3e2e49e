/**
 * How each message of an operator changes the decisions. Pure: the workflow only passes messages in and reads the outcome,
 * so that a signal and an update of the same name follow the same rules.
 */
import { claimApproval } from './approval-claims.ts';
import type { Decisions, MessageContext } from './message-context.ts';
import { findRefusal } from './message-refusals.ts';
import type { MessageName, Messages } from './message-schemas.ts';
import { maxRemainingNodes, workText } from './remaining-nodes.ts';
import { planRefusal, withPlan } from './plan-approval.ts';
import { shortDigest } from './plan-digest.ts';
import { summarizeList } from './summarize.ts';
import { answerSteps, stepRefusal } from './step-answers.ts';
import { transition, statesFor } from './node-transitions.ts';
import type { Decision } from './decision.ts';
import type { MigrationStatus, NodeState, NodeStatus, Phase } from './status.ts';

type Outcome = { problem: string } | { done: string };
type Handler<Name extends MessageName> = (
  message: Messages[Name],
  context: MessageContext,
  decision: Decision
) => Outcome;

/** States of nodes that can be rolled back. A skipped node may have been found in the middle of its migration. */
const rollBackStates: readonly NodeState[] = ['migrating', 'migrated', 'failed', 'skipped'];

/**
 * Applies a message.
 * @returns the reason for a refusal, with nothing changed; or the effect of the message.
 */
export function applyMessage<Name extends MessageName>(
  name: Name,
  message: Messages[Name],
  context: MessageContext,
  at: string
): Outcome {
  const decision: Decision = {
    by: message.by ?? 'unnamed',
    reason: message.reason ?? '',
    at,
  };
  // Also while the migration accepts nothing else: it cannot continue, or end, without the answer.
  const answered = answerSteps(name, message, context.status);
  if (answered !== undefined) return answered;
  const refusal = findRefusal(name, message, context);
  if (refusal !== undefined) return { problem: refusal };
  return handlers[name](message, context, decision);
}

const handlers: { [Name in MessageName]: Handler<Name> } = {
  approve: (message, context, decision) =>
    context.isAuthenticated === true
      ? claimApproval(message, context, decision, approve)
      : approve(message, context, decision),

  reject: (message, context, decision) => {
    const { node, wave } = message;
    const { decisions, status } = context;
    if (node !== undefined) return skipNode(node, context, decision);
    if (wave !== undefined) {
      const waiting = status.nodes.filter(
        (candidate) => candidate.wave === wave && candidate.state === 'awaiting-approval'
      );
      if (waiting.length === 0) return { problem: notAwaitingApproval(`wave ${wave}`, status) };
      for (const candidate of waiting) skipNode(candidate.name, context, decision);
      return { done: `skipped: ${waiting.map((candidate) => candidate.name).join(', ')}` };
    }
    const phase = phaseOf(message);
    if (status.phase !== phase || status.approvals[phase] !== undefined)
      return { problem: notAwaitingApproval(`the ${phase}`, status) };
    // A rejection of the pending plan is safe, also without its digest.
    const problem = message.plan === true ? undefined : planRefusal(message.plan, context);
    if (problem !== undefined) return { problem };
    decisions.rejected = withPlan(decision, message.plan, status.planDigest);
    return { done: `the ${phase} is rejected; the migration will end` };
  },

  pause: (_, { status }, decision) => {
    status.paused ??= decision;
    return { done: 'paused: nothing new is started, and nodes in progress are finished' };
  },

  resume: (_, { status }) => {
    if (status.paused === undefined) return { problem: 'the migration is not paused' };
    delete status.paused;
    return { done: 'resumed' };
  },

  skip: (message, context, decision) => {
    const { node } = message;
    if (node === undefined) return { problem: stepRefusal('skip', message, context.status) };
    return endWithoutNode(node, context, decision) ?? skipNode(node, context, decision);
  },

  retry: (message, { decisions, status }, decision) => {
    const { node } = message;
    if (node === undefined) return { problem: stepRefusal('retry', message, status) };
    const nodeStatus = findNode(status, node);
    if (nodeStatus === 'unknown' || nodeStatus === undefined) return noSuchNode(node, status);
    if (decisions.rollbacks.includes(node))
      return { problem: `a rollback of ${node} is requested; retry it afterwards` };
    if (transition(nodeStatus, { kind: 'retried', decision })) return { done: `${node} will be retried` };
    const states = statesFor('retried').join(', ');
    return { problem: `${node} is ${nodeStatus.state}; only ${states} nodes can be retried` };
  },

  rollback: (message, context, decision) => {
    const { node, outsideWindows = false } = message;
    return node === undefined
      ? rollBackAll(context, outsideWindows, decision)
      : rollBackNode(node, context, outsideWindows, decision);
  },

  abort: (_, { decisions, status }, decision) => {
    if (status.phase === 'rolling-back') {
      delete decisions.rollbackAll;
      delete decisions.rejected;
      decisions.aborted = decision;
      return { done: 'abort requested: the rollback ends, and every node stays on the network that it is on' };
    }
    if (decisions.rollbackAll !== undefined) return { problem: 'a rollback of all nodes is already requested' };
    decisions.aborted ??= decision;
    return { done: 'abort requested: nodes in progress are restored, and migrated nodes stay migrated' };
  },

  setMaxConcurrency: ({ maxConcurrency }, { status }) => {
    status.maxConcurrency = maxConcurrency;
    const what = status.phase === 'cutover' ? 'agents' : 'nodes';
    return { done: `at most ${maxConcurrency} nodes per wave, from the next wave of ${what} on` };
  },

  forcePod: ({ pod }, { decisions }) => {
    if (!decisions.forcedPods.includes(pod))
      decisions.forcedPods = [...decisions.forcedPods, pod].slice(-maxForcedPods);
    return { done: `pod ${pod} may be deleted` };
  },
};

/** Records an approval. */
function approve(message: Messages['approve'], context: MessageContext, decision: Decision): Outcome {
  const { node, wave } = message;
  const { status } = context;
  const nodesAreMigrated = !phasesBeforeCutover.includes(status.phase);
  if ((node !== undefined || wave !== undefined) && nodesAreMigrated)
    return { problem: `every node is migrated; the migration is in the phase ${status.phase}` };
  if (node !== undefined) return approveNode(node, context, decision);
  if (wave !== undefined) return approveWave(wave, context, decision);
  const phase = phaseOf(message);
  if (status.phase !== phase) return { problem: notAwaitingApproval(`the ${phase}`, status) };
  const { plan } = message;
  const problem = planRefusal(plan, context);
  if (problem !== undefined) return { problem };
  status.approvals[phase] ??= withPlan(decision, plan, status.planDigest);
  return { done: `the ${phase}${typeof plan === 'string' ? ` ${shortDigest(plan)}` : ''} is approved` };
}

/** Phases that wait for an approval of their own. */
type ApprovedPhase = keyof MigrationStatus['approvals'];

/** Returns the phase that a message is about, which names neither a node nor a wave. */
function phaseOf({ plan, cutover }: Messages['approve']): ApprovedPhase {
  if (plan !== undefined) return 'plan';
  return cutover === true ? 'cutover' : 'cleanup';
}

/** Maximum number of remembered pods that may be deleted. */
const maxForcedPods = 500;

function approveNode(node: string, { decisions, status }: MessageContext, decision: Decision): Outcome {
  const nodeStatus = findNode(status, node);
  if (nodeStatus === 'unknown') return noSuchNode(node, status);
  if (nodeStatus?.state === 'migrated') return { problem: `${node} is already migrated` };
  addApproval(decisions, node, decision);
  return { done: `${node} is approved` };
}

/** Approves a node. Its name may be that of a property that all objects have. */
function addApproval({ approvals }: Decisions, node: string, decision: Decision): void {
  if (!Object.hasOwn(approvals.nodes, node)) approvals.nodes = { ...approvals.nodes, [node]: decision };
}

function approveWave(wave: number, { decisions, status }: MessageContext, decision: Decision): Outcome {
  if (wave <= status.waves) return { problem: `wave ${wave} has already started` };
  const { approvals } = decisions;
  const shown = status.nodes.filter((node) => node.state === 'awaiting-approval' && node.wave === wave);
  // The approval covers the nodes that the wave shows now, even if the wave changes later.
  for (const { name } of shown) addApproval(decisions, name, decision);
  if (shown.length === 0) approvals.waves[String(wave)] ??= decision;
  const names = summarizeList(shown.map(({ name }) => name));
  return { done: `wave ${wave} is approved${names === '' ? '' : `: ${names}`}` };
}

function skipNode(node: string, { decisions, status }: MessageContext, decision: Decision): Outcome {
  const nodeStatus = findNode(status, node);
  if (nodeStatus === 'unknown' || nodeStatus === undefined) return noSuchNode(node, status);
  if (decisions.rollbacks.includes(node)) return { problem: `a rollback of ${node} is requested, which sidelines it` };
  if (transition(nodeStatus, { kind: 'skipped', decision })) return { done: `${node} is skipped` };
  return { problem: `${node} is ${nodeStatus.state}; roll it back instead` };
}

/**
 * Skips a node on which something remains to be done, so that the run may end without it.
 * @returns undefined for a node that is skipped in another way.
 */
function endWithoutNode(node: string, { status }: MessageContext, decision: Decision): Outcome | undefined {
  const { phase, pointOfNoReturn, remaining = [] } = status;
  const entry = remaining.find((candidate) => candidate.node === node);
  if (entry === undefined) {
    const onlyRemaining = phase === 'rolling-back' || pointOfNoReturn !== undefined;
    return onlyRemaining ? { problem: `the migration does not wait for ${node}` } : undefined;
  }
  const skippedCount = remaining.filter(({ skipped }) => skipped !== undefined).length;
  if (entry.skipped === undefined && skippedCount >= maxRemainingNodes)
    return {
      problem: `at most ${maxRemainingNodes} nodes may be skipped here; remove nodes that do not return from the cluster`,
    };
  entry.skipped ??= decision;
  return { done: `${node} is skipped; when it is back, this remains to be done: ${workText(entry.work)}` };
}

/** Addition to the answer to a rollback that waits for a maintenance window. */
const startsInWindow = '; it starts in a maintenance window: add "outsideWindows": true to start it at once';

function rollBackAll(
  { decisions, status, isUnread = false, hasWindows = false }: MessageContext,
  outsideWindows: boolean,
  decision: Decision
): Outcome {
  // A new object: a validator applies the message to a copy of the decisions that shares their objects.
  decisions.rollbackAll = {
    ...(decisions.rollbackAll ?? decision),
    ...(outsideWindows && { outsideWindows }),
  };
  if (status.phase === 'rolling-back')
    return { done: 'the rollback of all nodes continues outside maintenance windows' };
  const keepsWindows = hasWindows && decisions.rollbackAll.outsideWindows !== true;
  const condition = isUnread ? ', unless the removal of Canal has begun: then a note of the status says so' : '';
  return { done: `rollback of all nodes requested${condition}${keepsWindows ? startsInWindow : ''}` };
}

function rollBackNode(
  node: string,
  { decisions, status, hasWindows = false }: MessageContext,
  outsideWindows: boolean,
  decision: Decision
): Outcome {
  const { phase } = status;
  if (phase !== 'migrate')
    return {
      problem: `a single node can only be rolled back in the phase migrate, and the migration is in the phase ${phase}; send {"all": true} to roll back all nodes`,
    };
  const nodeStatus = findNode(status, node);
  if (nodeStatus === 'unknown' || nodeStatus === undefined) return noSuchNode(node, status);
  if (!rollBackStates.includes(nodeStatus.state))
    return { problem: `${node} is ${nodeStatus.state}; only ${rollBackStates.join(', ')} nodes can be rolled back` };
  nodeStatus.decision = decision;
  if (!decisions.rollbacks.includes(node)) decisions.rollbacks.push(node);
  if (outsideWindows) decisions.outsideWindows = [...new Set([...(decisions.outsideWindows ?? []), node])];
  const waits = hasWindows && rollbackKeepsWindows(nodeStatus, decisions);
  return { done: `rollback of ${node} requested${waits ? startsInWindow : ''}` };
}

/**
 * True when the rollback of a node, in a migration with maintenance windows, waits for one: it disturbs a node that works.
 * The rollback of any other node restores it.
 */
export function rollbackKeepsWindows(
  { name, state }: Pick<NodeStatus, 'name' | 'state'>,
  { outsideWindows = [] }: Pick<Decisions, 'outsideWindows'>
): boolean {
  return state === 'migrated' && !outsideWindows.includes(name);
}

/** Phases in which waves of nodes are still ahead. */
const phasesBeforeCutover: readonly Phase[] = ['preflight', 'plan', 'coexistence', 'migrate'];

function notAwaitingApproval(subject: string, { phase }: MigrationStatus): string {
  return `${subject} is not awaiting approval; the migration is in the phase ${phase}`;
}

/** Returns the node; undefined when the cluster has not been read and no node is known yet. */
function findNode(status: MigrationStatus, name: string): NodeStatus | 'unknown' | undefined {
  if (status.nodes.length === 0) return undefined;
  return status.nodes.find((node) => node.name === name && node.state !== 'removed') ?? 'unknown';
}

function noSuchNode(node: string, { nodes }: MigrationStatus): Outcome {
  if (nodes.length === 0)
    return { problem: 'the nodes have not been read yet; send the message again when the status lists them' };
  return { problem: `the cluster has no node ${node}` };
}
