import { CancellationScope, CancelledFailure, TemporalFailure, condition, proxyActivities } from '@temporalio/workflow';
import type { NodeWorkflowInput } from '../../model/node-input.ts';
import { NodeSteps } from './node-steps.ts';
import { rollBackNode } from './node-rollback.ts';
import { allOrCancel } from '../support/all-or-cancel.ts';
import { parseNodeInput } from '../support/parse-input.ts';

/** Progress of a node's migration, which decides how a failure is handled. */
interface Progress {
  /** True once the flip has begun. Undefined until the node is read: an earlier attempt may have flipped it. */
  flipped: boolean | undefined;
  /** True when the drain failed, so that the node is restored. */
  drainFailed: boolean;
}

/**
 * Migrates one node from Canal to Cilium: cordon → drain, and flip in parallel → (reboot) → first pod → recycle the
 * remaining pods → verify and gates → uncordon. With `drain.mode: recycle` the node is flipped and uncordoned before
 * its pods are evicted.
 *
 * Every step reads the node first, so a partly or fully migrated node continues from its current state. When the drain
 * fails, the node is restored; after any later failure it stays cordoned, until an operator retries it or rolls it
 * back. A cancellation restores the node at any stage, with a rollback where it was flipped.
 *
 * @param input checked before anything else.
 * @throws ApplicationFailure of type InvalidInput, DrainBlocked, AgentNotReady, WrongNetwork, VerificationFailed, NodeNotReady,
 * RebootMissing, GateBreached.
 */
export async function nodeMigration(input: NodeWorkflowInput): Promise<void> {
  const steps = new NodeSteps(parseNodeInput(input));
  const progress: Progress = { flipped: undefined, drainFailed: false };
  try {
    await migrate(steps, progress);
  } catch (error) {
    // A bug fails the workflow task: the node stays as it is until a corrected build continues.
    if (!(error instanceof TemporalFailure)) throw error;
    // Not from the error: an activity whose worker died before the cancellation fails with a heartbeat timeout.
    const isCancelled = (): boolean => CancellationScope.current().consideredCancelled;
    // Diagnostics are collected before anything is restored. A cancellation may come meanwhile.
    const diagnosed = isCancelled() ? error : await steps.withDiagnostics(error);
    const cancelled = isCancelled();
    const failure = cancelled ? new CancelledFailure(`migration of ${input.node} was cancelled`) : diagnosed;
    if (progress.flipped !== false && !progress.drainFailed && !cancelled) throw failure;
    await CancellationScope.nonCancellable(() => restore(steps, progress));
    throw failure;
  }
}

/** Restores a node: rolls it back where it is flipped, also by an earlier attempt. */
async function restore(steps: NodeSteps, progress: Progress): Promise<void> {
  steps.beginRestoration();
  progress.flipped ??= await isFlipped(steps);
  await (progress.flipped ? rollBackNode(steps) : steps.uncordon());
}

async function isFlipped(steps: NodeSteps): Promise<boolean> {
  const { flipped } = await steps.run('observeNode', 'read node', steps.target);
  return flipped;
}

async function migrate(steps: NodeSteps, progress: Progress): Promise<void> {
  const { migration } = steps;
  let sinceMs = Date.now();
  const recycling = migration.drain.mode === 'recycle';
  progress.flipped = await isFlipped(steps);
  await steps.cordon('cilium');
  if (recycling) await flip(steps, progress);
  else await drainAndFlip(steps, progress);
  if (migration.reboot.mode !== 'none') {
    await reboot(steps);
    // Losses during the requested reboot are expected.
    sinceMs = Date.now();
  }
  await steps.verify('cilium', 'verify first pod on Cilium');
  // Only a node whose new pods are verified on the target network may get more of them.
  if (recycling) await steps.uncordon();
  await steps.recycle('cilium');
  await allOrCancel(
    () => steps.verify('cilium', 'verify all paths'),
    () => steps.gate(sinceMs)
  );
  await steps.uncordon();
  steps.begin('migrated');
}

/**
 * Drains and flips a node in parallel, because both the end of pods and the start of the agent take time. The flip
 * starts once the drain has checked every pod and none lacks a consent. The node is cordoned, so that only DaemonSet
 * pods start meanwhile.
 */
async function drainAndFlip(steps: NodeSteps, progress: Progress): Promise<void> {
  // Also false for a node that an earlier attempt flipped: it is drained like an unknown node.
  let mayFlip = false;
  const drain = async (): Promise<void> => {
    try {
      await steps.drain('cilium', () => (mayFlip = true));
    } catch (error) {
      // False when the flip failed and the drain was only cancelled for it.
      progress.drainFailed = !CancellationScope.current().consideredCancelled;
      throw error;
    }
  };
  await allOrCancel(drain, async () => {
    await condition(() => mayFlip);
    await flip(steps, progress);
  });
}

async function flip(steps: NodeSteps, progress: Progress): Promise<void> {
  const { migration, target } = steps;
  if (migration.policyMode !== 'off') {
    await steps.run('requireIdentityBridge', 'check identity bridge', target);
  }
  progress.flipped = true;
  steps.begin('flip to Cilium');
  await steps.run('flipNode', 'flip to Cilium', target);
}

async function reboot(steps: NodeSteps): Promise<void> {
  const { mode, taskQueue, timeoutSeconds } = steps.migration.reboot;
  const deadlineMs = Date.now() + timeoutSeconds * 1_000;
  if (mode === 'hook' && taskQueue !== undefined) {
    steps.begin('reboot');
    steps.setWaitingFor(`a reboot of ${steps.node} by the hook on the task queue ${taskQueue}`);
    const hook = proxyActivities<RebootHook>({
      taskQueue,
      startToCloseTimeout: '1 hour',
      scheduleToCloseTimeout: `${timeoutSeconds} seconds`,
    });
    await hook.rebootNode.executeWithOptions({ summary: steps.summary('reboot by hook') }, [steps.target]);
  } else {
    steps.begin('wait for reboot');
    steps.setWaitingFor(`a reboot of ${steps.node}`);
  }
  await steps.run('waitForReboot', 'wait for reboot', { ...steps.target, deadlineMs });
  steps.setWaitingFor(undefined);
}

/** Activities that a user provides to reboot nodes with their own program. */
export interface RebootHook {
  /** Reboots the node. Retried after a failure, so it must be idempotent. */
  rebootNode: (target: { cluster: string; node: string }) => Promise<void>;
}
