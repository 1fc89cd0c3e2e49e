/**
 * Decisions of operators about a fleet, and how each message changes them. Pure, like decisions.ts for a cluster: a
 * signal and an update of the same name follow the same rules.
 */
import type { FleetMessage, FleetMessageName } from './fleet-messages.ts';
import type { FleetCluster, FleetStatus } from './fleet-status.ts';
import type { Decision } from './status.ts';

/** States in which a cluster only waits for an operator. */
const sidelinedStates: readonly string[] = ['failed', 'skipped', 'rolled-back'];

/** Decisions that the status does not show. */
export interface FleetDecisions {
  aborted?: Decision;
}

/** State that a message changes. */
export interface FleetMessageContext {
  control: FleetDecisions;
  status: FleetStatus;
}

type Outcome = { problem: string } | { done: string };

/**
 * Applies a message.
 * @returns the reason for a refusal, with nothing changed; or the effect of the message.
 */
export function applyFleetMessage(
  name: FleetMessageName,
  message: FleetMessage,
  context: FleetMessageContext,
  at: string
): Outcome {
  const by = message.by ?? 'unnamed';
  const decision: Decision = { by, reason: message.reason ?? '', at };
  switch (name) {
    case 'pause':
      context.status.paused ??= decision;
      return { done: 'no other cluster begins; those under way go on' };
    case 'resume':
      return resume(context);
    case 'abort':
      context.control.aborted ??= decision;
      return { done: 'no other cluster begins; it ends with those under way' };
    default:
      return decideCluster(name, 'cluster' in message ? message.cluster : '', context, decision);
  }
}

function resume({ status }: FleetMessageContext): Outcome {
  if (status.paused === undefined) return { problem: 'it is not paused' };
  delete status.paused;
  return { done: 'it goes on' };
}

function decideCluster(
  name: 'approve' | 'skip' | 'retry',
  clusterName: string,
  { status }: FleetMessageContext,
  decision: Decision
): Outcome {
  const cluster = status.clusters.find((candidate) => candidate.cluster === clusterName);
  if (cluster === undefined) return { problem: `the fleet has no cluster ${clusterName}` };
  return clusterHandlers[name](cluster, decision);
}

const clusterHandlers: Record<'approve' | 'skip' | 'retry', (cluster: FleetCluster, decision: Decision) => Outcome> = {
  approve: (cluster, decision) => {
    if (cluster.state !== 'pending') return { problem: `${cluster.cluster} is ${cluster.state}` };
    cluster.approval ??= decision;
    return { done: `${cluster.cluster} may begin` };
  },

  skip: (cluster, decision) => {
    const { cluster: name, state, workflowId } = cluster;
    if (state === 'migrating') return { problem: `${name} is under way; send abort to ${workflowId} first` };
    if (state === 'migrated') return { problem: `${name} is migrated` };
    Object.assign(cluster, { state: 'skipped', decision });
    return { done: `${name} is left as it is` };
  },

  retry: (cluster, decision) => {
    if (!sidelinedStates.includes(cluster.state)) return { problem: `${cluster.cluster} is ${cluster.state}` };
    // An operator who retries a cluster has checked it: the retry counts as an approval.
    Object.assign(cluster, { state: 'pending', decision, approval: decision });
    delete cluster.failure;
    return { done: `${cluster.cluster} is taken up again` };
  },
};
