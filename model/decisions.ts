/**
 * Decisions of operators, and how each message changes them. Pure: the workflow only passes messages in and reads the
 * outcome, so that a signal and an update of the same name follow the same rules.
 */
import type { MessageName, Messages } from './message-schemas.ts';
import type { Decision, MigrationStatus, NodeState, NodeStatus } from './status.ts';

/** Decisions that the workflow still has to act on or to remember. JSON, so that they survive continue-as-new. */
export interface Decisions {
  approvals: { nodes: Record<string, Decision>; waves: Record<string, Decision> };
  /** Nodes to roll back to Canal. */
  rollbacks: string[];
  rollbackAll?: Decision;
  aborted?: Decision;
  rejected?: Decision;
  /** Pods that may be deleted, `namespace/name`. */
  forcedPods: string[];
}

/** Returns an empty set of decisions. */
export function noDecisions(): Decisions {
  return { approvals: { nodes: {}, waves: {} }, rollbacks: [], forcedPods: [] };
}

/** State that a message is checked against and applied to. The status changes too, where it shows the decision. */
export interface MessageContext {
  control: Decisions;
  status: MigrationStatus;
}

type Outcome = { problem: string } | { done: string };
type Handler<Name extends MessageName> = (
  message: Messages[Name],
  context: MessageContext,
  decision: Decision
) => Outcome;

/** States of nodes that can be retried. */
const sidelinedStates: readonly NodeState[] = ['failed', 'skipped', 'not-ready', 'rolled-back'];

/** States of nodes that can be rolled back. */
const rollBackStates: readonly NodeState[] = ['migrating', 'migrated', 'failed'];

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
  const { phase } = context.status;
  if (phase === 'done' || phase === 'rolled-back') return { problem: 'the migration has ended' };
  const refusal = phaseRefusal(name, context) ?? interruptionRefusal(name, message, context);
  if (refusal !== undefined) return { problem: refusal };
  return handlers[name](message, context, decision);
}

const handlers: { [Name in MessageName]: Handler<Name> } = {
  approve: ({ node, wave, plan, cleanup }, context, decision) => {
    const { status } = context;
    if (node !== undefined) return approveNode(node, context, decision);
    if (wave !== undefined) return approveWave(wave, context, decision);
    if (plan === true) {
      if (status.phase !== 'plan') return { problem: notAwaitingApproval('the plan', status) };
      status.approvals.plan ??= decision;
      return { done: 'the plan is approved' };
    }
    if (cleanup !== true || status.phase !== 'cleanup') return { problem: notAwaitingApproval('the cleanup', status) };
    status.approvals.cleanup ??= decision;
    return { done: 'the cleanup is approved' };
  },

  reject: ({ node, wave, plan }, context, decision) => {
    const { control, status } = context;
    if (node !== undefined) return skipNode(node, context, decision);
    if (wave !== undefined) {
      const waiting = status.nodes.filter(
        (candidate) => candidate.wave === wave && candidate.state === 'awaiting-approval'
      );
      if (waiting.length === 0) return { problem: notAwaitingApproval(`wave ${wave}`, status) };
      for (const candidate of waiting) skipNode(candidate.name, context, decision);
      return { done: `skipped: ${waiting.map((candidate) => candidate.name).join(', ')}` };
    }
    const subject = plan === true ? 'plan' : 'cleanup';
    const approved = plan === true ? status.approvals.plan : status.approvals.cleanup;
    if (status.phase !== subject || approved !== undefined)
      return { problem: notAwaitingApproval(`the ${subject}`, status) };
    control.rejected = decision;
    return { done: `the ${subject} is rejected; the migration will end` };
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

  skip: ({ node }, context, decision) => skipNode(node, context, decision),

  retry: ({ node }, { status }, decision) => {
    const nodeStatus = findNode(status, node);
    if (nodeStatus === 'unknown' || nodeStatus === undefined) return noSuchNode(node, status);
    if (!sidelinedStates.includes(nodeStatus.state))
      return { problem: `${node} is ${nodeStatus.state}; only ${sidelinedStates.join(', ')} nodes can be retried` };
    nodeStatus.state = 'pending';
    nodeStatus.decision = decision;
    delete nodeStatus.failure;
    return { done: `${node} will be retried` };
  },

  rollback: ({ node }, { control, status }, decision) => {
    if (node === undefined) {
      control.rollbackAll ??= decision;
      return { done: 'rollback of all nodes requested' };
    }
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
    if (!control.rollbacks.includes(node)) control.rollbacks.push(node);
    return { done: `rollback of ${node} requested` };
  },

  abort: (_, { control }, decision) => {
    if (control.rollbackAll !== undefined) return { problem: 'a rollback of all nodes is already requested' };
    control.aborted ??= decision;
    return { done: 'abort requested: nodes in progress are restored, and migrated nodes stay migrated' };
  },

  setMaxConcurrency: ({ maxConcurrency }, { status }) => {
    status.maxConcurrency = maxConcurrency;
    return { done: `at most ${maxConcurrency} nodes per wave, from the next wave on` };
  },

  forcePod: ({ pod }, { control }) => {
    if (!control.forcedPods.includes(pod)) control.forcedPods = [...control.forcedPods, pod].slice(-maxForcedPods);
    return { done: `pod ${pod} may be deleted` };
  },
};

/** Maximum number of remembered pods that may be deleted. */
const maxForcedPods = 500;

function approveNode(node: string, { control, status }: MessageContext, decision: Decision): Outcome {
  const nodeStatus = findNode(status, node);
  if (nodeStatus === 'unknown') return noSuchNode(node, status);
  if (nodeStatus?.state === 'migrated') return { problem: `${node} is already migrated` };
  control.approvals.nodes[node] ??= decision;
  return { done: `${node} is approved` };
}

function approveWave(wave: number, { control, status }: MessageContext, decision: Decision): Outcome {
  if (wave <= status.waves) return { problem: `wave ${wave} has already started` };
  control.approvals.waves[String(wave)] ??= decision;
  return { done: `wave ${wave} is approved` };
}

function skipNode(node: string, { status }: MessageContext, decision: Decision): Outcome {
  const nodeStatus = findNode(status, node);
  if (nodeStatus === 'unknown' || nodeStatus === undefined) return noSuchNode(node, status);
  if (
    nodeStatus.state !== 'pending' &&
    nodeStatus.state !== 'awaiting-approval' &&
    !sidelinedStates.includes(nodeStatus.state)
  ) {
    return { problem: `${node} is ${nodeStatus.state}; roll it back instead` };
  }
  nodeStatus.state = 'skipped';
  nodeStatus.decision = decision;
  delete nodeStatus.failure;
  return { done: `${node} is skipped` };
}

/** Messages that a rollback of all nodes does not act on: it runs to its end. */
const refusedInRollback: readonly MessageName[] = [
  'approve',
  'reject',
  'pause',
  'skip',
  'retry',
  'rollback',
  'abort',
  'setMaxConcurrency',
];

/** Returns the reason why the current phase does not allow the message; undefined when it does. */
function phaseRefusal(name: MessageName, { status }: MessageContext): string | undefined {
  const { phase, approvals } = status;
  if (phase === 'rolling-back') return refusedInRollback.includes(name) ? 'a rollback is in progress' : undefined;
  const isInterruption = name === 'rollback' || name === 'abort';
  if (phase === 'cutover' && isInterruption)
    return 'the cutover is in progress and takes some minutes; send the message again after it';
  // The cleanup is not interrupted: it continues to its end, also in the next run.
  if (phase === 'cleanup' && approvals.cleanup !== undefined && (isInterruption || name === 'pause'))
    return `the cleanup, which removes Canal, is approved: ${name} is no longer possible`;
  return undefined;
}

/** Returns the reason for the refusal of a message whose effect an abort, or a rollback of all nodes, prevents. */
function interruptionRefusal(
  name: MessageName,
  message: Messages[MessageName],
  { control }: MessageContext
): string | undefined {
  const isPrevented = name === 'approve' || name === 'retry' || (name === 'rollback' && 'node' in message);
  if (!isPrevented) return undefined;
  if (control.rollbackAll !== undefined) return 'a rollback of all nodes is already requested';
  return control.aborted === undefined
    ? undefined
    : 'an abort is already requested; start the migration again after it';
}

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
