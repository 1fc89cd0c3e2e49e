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

const sidelinedStates: readonly NodeState[] = ['failed', 'skipped', 'not-ready', 'rolled-back'];

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
  if (phase === 'done' || phase === 'rolled-back') return { problem: 'the migration is over' };
  return handlers[name](message, context, decision);
}

const handlers: { [Name in MessageName]: Handler<Name> } = {
  approve: ({ node, wave, plan, cleanup }, context, decision) => {
    const { status } = context;
    if (node !== undefined) return approveNode(node, context, decision);
    if (wave !== undefined) return approveWave(wave, context, decision);
    if (plan === true) {
      if (status.phase !== 'plan') return { problem: 'the plan does not wait for an approval' };
      status.approvals.plan ??= decision;
      return { done: 'the plan is approved' };
    }
    if (cleanup !== true || status.phase !== 'cleanup')
      return { problem: 'the cleanup does not wait for an approval yet' };
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
      if (waiting.length === 0) return { problem: `wave ${wave} does not wait for an approval` };
      for (const candidate of waiting) skipNode(candidate.name, context, decision);
      return { done: `${waiting.map((candidate) => candidate.name).join(', ')} skipped` };
    }
    const subject = plan === true ? 'plan' : 'cleanup';
    const approved = plan === true ? status.approvals.plan : status.approvals.cleanup;
    if (status.phase !== subject || approved !== undefined)
      return { problem: `the ${subject} does not wait for an approval` };
    control.rejected = decision;
    return { done: `the ${subject} is rejected` };
  },

  pause: (_, { status }, decision) => {
    status.paused ??= decision;
    return { done: 'paused; nodes that are under way are finished' };
  },

  resume: (_, { status }) => {
    if (status.paused === undefined) return { problem: 'it is not paused' };
    delete status.paused;
    return { done: 'resumed' };
  },

  skip: ({ node }, context, decision) => skipNode(node, context, decision),

  retry: ({ node }, { status }, decision) => {
    const nodeStatus = findNode(status, node);
    if (nodeStatus === 'unknown' || nodeStatus === undefined) return noSuchNode(node);
    if (!sidelinedStates.includes(nodeStatus.state))
      return { problem: `${node} is ${nodeStatus.state}; there is nothing to retry` };
    nodeStatus.state = 'pending';
    nodeStatus.decision = decision;
    delete nodeStatus.failure;
    return { done: `${node} is taken up again` };
  },

  rollback: ({ node }, { control, status }, decision) => {
    const refusal = rollbackRefusal(status);
    if (refusal !== undefined) return { problem: refusal };
    if (node === undefined) {
      control.rollbackAll ??= decision;
      return { done: 'everything is rolled back' };
    }
    if (status.phase !== 'migrate')
      return { problem: 'a single node can be rolled back while nodes are migrated only' };
    const nodeStatus = findNode(status, node);
    if (nodeStatus === 'unknown' || nodeStatus === undefined) return noSuchNode(node);
    if (!['migrating', 'migrated', 'failed'].includes(nodeStatus.state))
      return { problem: `${node} is ${nodeStatus.state}` };
    nodeStatus.decision = decision;
    if (!control.rollbacks.includes(node)) control.rollbacks.push(node);
    return { done: `${node} goes back to Canal` };
  },

  abort: (_, { control, status }, decision) => {
    const refusal = rollbackRefusal(status);
    if (refusal !== undefined) return { problem: refusal };
    control.aborted ??= decision;
    return { done: 'the migration ends' };
  },

  setMaxConcurrency: ({ maxConcurrency }, { status }) => {
    status.maxConcurrency = maxConcurrency;
    return { done: `waves of up to ${maxConcurrency} from the next one on` };
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
  if (nodeStatus === 'unknown') return noSuchNode(node);
  if (nodeStatus?.state === 'migrated') return { problem: `${node} is migrated already` };
  control.approvals.nodes[node] ??= decision;
  return { done: `${node} is approved` };
}

function approveWave(wave: number, { control, status }: MessageContext, decision: Decision): Outcome {
  if (wave <= status.waves) return { problem: `wave ${wave} has begun already` };
  control.approvals.waves[String(wave)] ??= decision;
  return { done: `wave ${wave} is approved` };
}

function skipNode(node: string, { status }: MessageContext, decision: Decision): Outcome {
  const nodeStatus = findNode(status, node);
  if (nodeStatus === 'unknown' || nodeStatus === undefined) return noSuchNode(node);
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

/** Returns the reason why a rollback is no longer possible; undefined when it is possible. */
function rollbackRefusal({ phase, approvals }: MigrationStatus): string | undefined {
  if (phase === 'cutover') return 'the cutover is under way and lasts some minutes; ask again when it is over';
  if (phase === 'rolling-back') return 'it is rolled back already';
  if (phase === 'cleanup' && approvals.cleanup !== undefined) return 'Canal is being removed: there is no way back';
  return undefined;
}

/** Returns the node; undefined when the cluster has not been read and no node is known yet. */
function findNode(status: MigrationStatus, name: string): NodeStatus | 'unknown' | undefined {
  if (status.nodes.length === 0) return undefined;
  return status.nodes.find((node) => node.name === name && node.state !== 'removed') ?? 'unknown';
}

function noSuchNode(node: string): Outcome {
  return { problem: `the cluster has no node ${node}` };
}
