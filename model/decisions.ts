/**
 * Decisions of operators, and how each message changes them. Pure: the workflow only passes messages in and reads the
 * outcome, so that a signal and an update of the same name follow the same rules.
 */
import type { MessageName, Messages } from './message-schemas.ts';
import type { Decision, MigrationStatus, NodeState, NodeStatus } from './status.ts';

/** Decisions that the workflow still has to act on or to remember. JSON, so that they survive continue-as-new. */
export interface Control {
  approvals: { nodes: Record<string, Decision>; waves: Record<string, Decision> };
  /** Nodes to roll back to Canal. */
  rollBacks: string[];
  rollBackAll?: Decision;
  aborted?: Decision;
  rejected?: Decision;
  /** Pods that may be deleted, `namespace/name`. */
  forcedPods: string[];
}

/** Returns an empty set of decisions. */
export function emptyControl(): Control {
  return { approvals: { nodes: {}, waves: {} }, rollBacks: [], forcedPods: [] };
}

/** State that a message is checked against and applied to. The status changes too, where it shows the decision. */
export interface Judged {
  control: Control;
  status: MigrationStatus;
}

type Outcome = { problem: string } | { done: string };
type Handler<Name extends MessageName> = (message: Messages[Name], judged: Judged, decision: Decision) => Outcome;

const setAside: readonly NodeState[] = ['failed', 'skipped', 'not-ready', 'rolled-back'];

/**
 * Applies a message.
 * @returns the reason for a refusal, with nothing changed; or the effect of the message.
 */
export function receive<Name extends MessageName>(
  name: Name,
  message: Messages[Name],
  judged: Judged,
  at: string
): Outcome {
  const decision: Decision = {
    by: message.by ?? message.approver ?? 'unnamed',
    reason: message.reason ?? '',
    at,
  };
  const { phase } = judged.status;
  if (phase === 'done' || phase === 'rolled-back') return { problem: 'the migration is over' };
  return handlers[name](message, judged, decision);
}

const handlers: { [Name in MessageName]: Handler<Name> } = {
  approve: ({ node, wave, plan, cleanup }, judged, decision) => {
    const { status } = judged;
    if (node !== undefined) return approveNode(node, judged, decision);
    if (wave !== undefined) return approveWave(wave, judged, decision);
    if (plan === true) {
      if (status.phase !== 'plan') return { problem: 'the plan does not wait for an approval' };
      status.approvals.plan ??= decision;
      return { done: 'the plan is approved' };
    }
    if (cleanup !== true || status.phase !== 'clean-up')
      return { problem: 'the clean-up does not wait for an approval yet' };
    status.approvals.cleanup ??= decision;
    return { done: 'the clean-up is approved' };
  },

  reject: ({ node, wave, plan }, judged, decision) => {
    const { control, status } = judged;
    if (node !== undefined) return setNodeAside(node, judged, decision);
    if (wave !== undefined) {
      const waiting = status.nodes.filter((one) => one.wave === wave && one.state === 'awaiting-approval');
      if (waiting.length === 0) return { problem: `wave ${wave} does not wait for an approval` };
      for (const one of waiting) setNodeAside(one.name, judged, decision);
      return { done: `${waiting.map((one) => one.name).join(', ')} skipped` };
    }
    const what = plan === true ? 'plan' : 'clean-up';
    const approved = plan === true ? status.approvals.plan : status.approvals.cleanup;
    if (status.phase !== what || approved !== undefined)
      return { problem: `the ${what} does not wait for an approval` };
    control.rejected = decision;
    return { done: `the ${what} is rejected` };
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

  skip: ({ node }, judged, decision) => setNodeAside(node, judged, decision),

  retry: ({ node }, { status }, decision) => {
    const found = find(status, node);
    if (found === 'unknown' || found === undefined) return noSuchNode(node);
    if (!setAside.includes(found.state)) return { problem: `${node} is ${found.state}; there is nothing to retry` };
    found.state = 'pending';
    found.decision = decision;
    delete found.failure;
    return { done: `${node} is taken up again` };
  },

  rollback: ({ node }, { control, status }, decision) => {
    const barred = noWayBack(status);
    if (barred !== undefined) return { problem: barred };
    if (node === undefined) {
      control.rollBackAll ??= decision;
      return { done: 'everything is rolled back' };
    }
    if (status.phase !== 'migrate')
      return { problem: 'a single node can be rolled back while nodes are migrated only' };
    const found = find(status, node);
    if (found === 'unknown' || found === undefined) return noSuchNode(node);
    if (!['migrating', 'migrated', 'failed'].includes(found.state)) return { problem: `${node} is ${found.state}` };
    found.decision = decision;
    if (!control.rollBacks.includes(node)) control.rollBacks.push(node);
    return { done: `${node} goes back to Canal` };
  },

  abort: (_, { control, status }, decision) => {
    const barred = noWayBack(status);
    if (barred !== undefined) return { problem: barred };
    control.aborted ??= decision;
    return { done: 'the migration ends' };
  },

  setConcurrency: ({ concurrency }, { status }) => {
    status.concurrency = concurrency;
    return { done: `waves of up to ${concurrency} from the next one on` };
  },

  forcePod: ({ pod }, { control }) => {
    if (!control.forcedPods.includes(pod)) control.forcedPods = [...control.forcedPods, pod].slice(-maxForcedPods);
    return { done: `pod ${pod} may be deleted` };
  },
};

/** Maximum number of remembered pods that may be deleted. */
const maxForcedPods = 500;

function approveNode(node: string, { control, status }: Judged, decision: Decision): Outcome {
  const found = find(status, node);
  if (found === 'unknown') return noSuchNode(node);
  if (found?.state === 'migrated') return { problem: `${node} is migrated already` };
  control.approvals.nodes[node] ??= decision;
  return { done: `${node} is approved` };
}

function approveWave(wave: number, { control, status }: Judged, decision: Decision): Outcome {
  if (wave <= status.waves) return { problem: `wave ${wave} has begun already` };
  control.approvals.waves[String(wave)] ??= decision;
  return { done: `wave ${wave} is approved` };
}

function setNodeAside(node: string, { status }: Judged, decision: Decision): Outcome {
  const found = find(status, node);
  if (found === 'unknown' || found === undefined) return noSuchNode(node);
  if (found.state !== 'pending' && found.state !== 'awaiting-approval' && !setAside.includes(found.state)) {
    return { problem: `${node} is ${found.state}; roll it back instead` };
  }
  found.state = 'skipped';
  found.decision = decision;
  delete found.failure;
  return { done: `${node} is skipped` };
}

/** Returns the reason why a rollback is no longer possible; undefined when it is possible. */
function noWayBack({ phase, approvals }: MigrationStatus): string | undefined {
  if (phase === 'cut-over') return 'the cut-over is under way and lasts some minutes; ask again when it is over';
  if (phase === 'rolling-back') return 'it is rolled back already';
  if (phase === 'clean-up' && approvals.cleanup !== undefined) return 'Canal is being removed: there is no way back';
  return undefined;
}

/** Returns the node; undefined when the cluster has not been read and no node is known yet. */
function find(status: MigrationStatus, name: string): NodeStatus | 'unknown' | undefined {
  if (status.nodes.length === 0) return undefined;
  return status.nodes.find((node) => node.name === name && node.state !== 'gone') ?? 'unknown';
}

function noSuchNode(node: string): Outcome {
  return { problem: `the cluster has no node ${node}` };
}
