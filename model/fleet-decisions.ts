/**
 * Decisions of operators about a fleet, and how each message changes them. Pure, like decisions.ts for a cluster: a
 * signal and an update of the same name follow the same rules.
 */
import type { FleetMessage, FleetMessageName } from './fleet-messages.ts';
import type { FleetCluster, FleetStatus } from './fleet-status.ts';
import type { Decision } from './decision.ts';

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
      return { done: 'paused: no other cluster is started, and running migrations continue' };
    case 'resume':
      return resume(context);
    case 'abort':
      context.control.aborted ??= decision;
      return {
        done: 'abort requested: no other cluster is started, and the fleet ends when the running migrations have ended',
      };
    default:
      return decideCluster(name, 'cluster' in message ? message.cluster : '', context, decision);
  }
}

function resume({ status }: FleetMessageContext): Outcome {
  if (status.paused === undefined) return { problem: 'the fleet is not paused' };
  delete status.paused;
  return { done: 'resumed' };
}

function decideCluster(
  name: 'approve' | 'skip' | 'retry',
  clusterName: string,
  { control, status }: FleetMessageContext,
  decision: Decision
): Outcome {
  if (control.aborted !== undefined && name !== 'skip')
    return { problem: 'an abort is already requested; start the fleet again after it' };
  const cluster = status.clusters.find((candidate) => candidate.cluster === clusterName);
  if (cluster === undefined) return { problem: `the fleet has no cluster ${clusterName}` };
  return clusterHandlers[name](cluster, decision);
}

const clusterHandlers: Record<'approve' | 'skip' | 'retry', (cluster: FleetCluster, decision: Decision) => Outcome> = {
  approve: (cluster, decision) => {
    if (cluster.state !== 'pending')
      return { problem: `${cluster.cluster} is ${cluster.state}; only pending clusters can be approved` };
    cluster.approval ??= decision;
    return { done: `${cluster.cluster} is approved` };
  },

  skip: (cluster, decision) => {
    const { cluster: name, state, workflowId } = cluster;
    if (state === 'migrating')
      return { problem: `${name} is being migrated; to end that, send abort to ${workflowId}` };
    if (state === 'migrated') return { problem: `${name} is already migrated` };
    Object.assign(cluster, { state: 'skipped', decision });
    return { done: `${name} is skipped` };
  },

  retry: (cluster, decision) => {
    if (!sidelinedStates.includes(cluster.state))
      return {
        problem: `${cluster.cluster} is ${cluster.state}; only ${sidelinedStates.join(', ')} clusters can be retried`,
      };
    // An operator who retries a cluster has checked it: the retry counts as an approval.
    Object.assign(cluster, { state: 'pending', decision, approval: decision });
    delete cluster.failure;
    return { done: `${cluster.cluster} will be retried` };
  },
};
