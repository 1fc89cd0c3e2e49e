/**
 * Decisions of operators about a fleet, and how each message changes them. Pure, like decisions.ts for a cluster: a
 * signal and an update of the same name follow the same rules.
 */
import type { FleetMessage, FleetMessageName } from './fleet-messages.ts';
import type { FleetCluster, FleetStatus } from './fleet-status.ts';
import type { Decision } from './status.ts';

/** States in which a cluster only waits for an operator. */
const setAside: readonly string[] = ['failed', 'skipped', 'rolled-back'];

/** Decisions that the status does not show. */
export interface FleetControl {
  aborted?: Decision;
}

/** State that a message changes. */
export interface FleetJudged {
  control: FleetControl;
  status: FleetStatus;
}

type Outcome = { problem: string } | { done: string };

/**
 * Applies a message.
 * @returns the reason for a refusal, with nothing changed; or the effect of the message.
 */
export function receiveFleetMessage(
  name: FleetMessageName,
  message: FleetMessage,
  judged: FleetJudged,
  at: string
): Outcome {
  const by = message.by ?? message.approver ?? 'unnamed';
  const decision: Decision = { by, reason: message.reason ?? '', at };
  switch (name) {
    case 'pause':
      judged.status.paused ??= decision;
      return { done: 'no other cluster begins; those under way go on' };
    case 'resume':
      return resume(judged);
    case 'abort':
      judged.control.aborted ??= decision;
      return { done: 'no other cluster begins; it ends with those under way' };
    default:
      return decideCluster(name, 'cluster' in message ? message.cluster : '', judged, decision);
  }
}

function resume({ status }: FleetJudged): Outcome {
  if (status.paused === undefined) return { problem: 'it is not paused' };
  delete status.paused;
  return { done: 'it goes on' };
}

function decideCluster(
  name: 'approve' | 'skip' | 'retry',
  wanted: string,
  { status }: FleetJudged,
  decision: Decision
): Outcome {
  const cluster = status.clusters.find((one) => one.cluster === wanted);
  if (cluster === undefined) return { problem: `the fleet has no cluster ${wanted}` };
  return clusterDecisions[name](cluster, decision);
}

const clusterDecisions: Record<'approve' | 'skip' | 'retry', (cluster: FleetCluster, decision: Decision) => Outcome> = {
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
    if (!setAside.includes(cluster.state)) return { problem: `${cluster.cluster} is ${cluster.state}` };
    // An operator who retries a cluster has checked it: the retry counts as an approval.
    Object.assign(cluster, { state: 'pending', decision, approval: decision });
    delete cluster.failure;
    return { done: `${cluster.cluster} is taken up again` };
  },
};
