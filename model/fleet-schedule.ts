/**
 * Decides which cluster of a fleet starts next, what the fleet waits for, and when it is over. Pure: every decision
 * follows from the state and the time, so that nothing is lost when a run continues as new.
 */
import type { FleetDecisions } from './fleet-decisions.ts';
import type { FleetOptions } from './fleet-input.ts';
import type { FleetCluster, FleetClusterState, FleetStatus, FleetWaitKind } from './fleet-status.ts';
import type { Answer } from './decision.ts';

/** State from which the decisions follow. */
export interface FleetView {
  options: FleetOptions;
  status: FleetStatus;
  control: FleetDecisions;
}

/** A wait to show. */
export interface FleetWait {
  kind: FleetWaitKind;
  clusters: string[];
  /** Text that follows "Waiting for". */
  text: string;
  /** Messages that end the wait. */
  answers: Answer[];
}

/** Returns the clusters that are in one of these states. */
export function clustersIn({ clusters }: FleetStatus, ...states: FleetClusterState[]): FleetCluster[] {
  return clusters.filter(({ state }) => states.includes(state));
}

/** True when the fleet starts no other cluster, because an operator aborted or cancelled it. */
export function isEnding({ aborted, cancelledAt }: FleetDecisions): boolean {
  return aborted !== undefined || cancelledAt !== undefined;
}

/** True when nothing is left to do or to wait for. */
export function isOver({ status, control }: FleetView): boolean {
  if (clustersIn(status, 'migrating').length > 0) return false;
  return isEnding(control) || clustersIn(status, 'pending', 'failed', 'rolled-back').length === 0;
}

/** Returns the cluster that starts now, at this time (Unix ms); undefined when none may start. */
export function nextCluster(view: FleetView, nowMs: number): FleetCluster | undefined {
  return candidates(view, nowMs).find((entry) => !lacksApproval(view, entry));
}

/** Returns the remaining time of the soak in ms; 0 when there is none. */
export function remainingSoakMs({ status }: FleetView, nowMs: number): number {
  if (status.soakUntil === undefined) return 0;
  if (remainingCanaries(status).length > 0 || clustersIn(status, 'pending').length === 0) return 0;
  return Math.max(0, Date.parse(status.soakUntil) - nowMs);
}

/** Returns what the fleet waits for; undefined while migrations run and nothing else is needed. */
export function currentWait(view: FleetView, nowMs: number): FleetWait | undefined {
  const { status, control } = view;
  if (isEnding(control)) return undefined;
  if (status.paused !== undefined) {
    const answers = [{ does: 'resume', message: 'resume', input: {} }];
    return { kind: 'resume', clusters: [], text: `resume (paused by ${status.paused.by})`, answers };
  }
  const failed = clustersIn(status, 'failed', 'rolled-back').map(({ cluster }) => cluster);
  if (failed.length > 0) {
    const answers = failed.flatMap((cluster) => [answer('retry', cluster), answer('skip', cluster)]);
    return { kind: 'decision', clusters: failed, text: `a decision about ${failed.join(', ')}`, answers };
  }
  const unapproved = candidates(view, nowMs)
    .filter((entry) => lacksApproval(view, entry))
    .map(({ cluster }) => cluster);
  if (unapproved.length > 0) {
    const answers = unapproved.map((cluster) => answer('approve', cluster));
    return { kind: 'approval', clusters: unapproved, text: `approval of ${unapproved.join(', ')}`, answers };
  }
  if (remainingSoakMs(view, nowMs) === 0) return undefined;
  const text = `the end of the soak of the canaries at ${status.soakUntil ?? ''}`;
  return { kind: 'soak', clusters: [], text, answers: [] };
}

function answer(message: 'approve' | 'retry' | 'skip', cluster: string): Answer {
  return { does: `${message} ${cluster}`, message, input: { cluster } };
}

/** Returns the clusters that may start once they are approved. */
function candidates(view: FleetView, nowMs: number): FleetCluster[] {
  const { options, status, control } = view;
  if (status.paused !== undefined || isEnding(control)) return [];
  const failed = clustersIn(status, 'failed', 'rolled-back');
  if (failed.length > 0 && (options.onFailure === 'stop' || failed.some(({ canary }) => canary))) return [];
  const running = clustersIn(status, 'migrating').length;
  const [canary] = remainingCanaries(status);
  if (canary !== undefined) return running === 0 && canary.state === 'pending' ? [canary] : [];
  if (remainingSoakMs(view, nowMs) > 0 || running >= options.maxConcurrency) return [];
  return clustersIn(status, 'pending');
}

/** Returns the canaries that are not finished: they run one by one, and the others wait for their results. */
function remainingCanaries({ clusters }: FleetStatus): FleetCluster[] {
  return clusters.filter(({ canary, state }) => canary && state !== 'migrated' && state !== 'skipped');
}

function lacksApproval({ options }: FleetView, { canary, approval }: FleetCluster): boolean {
  if (approval !== undefined) return false;
  return options.approval === 'every-cluster' || (options.approval === 'canary-only' && canary);
}
