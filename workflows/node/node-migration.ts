import { CancellationScope, CancelledFailure, condition, proxyActivities } from '@temporalio/workflow';
import { patient, quick, watching } from '../activity-proxies.ts';
import { NodeSteps, type NodeWorkflowInput } from './node-steps.ts';
import { rollBackNode } from './node-rollback.ts';
import { allOrCancel } from '../support/all-or-cancel.ts';

/** How far a node's migration has come, for what follows a failure. */
interface Progress {
  /** The flip has begun. */
  flipped: boolean;
  /** The node was not emptied, so that it is given back. */
  undrained: boolean;
}

/**
 * Moves one node from Canal to Cilium: cordon → drain, and flip meanwhile → (reboot) → first pod → recycle what the drain
 * leaves → verify and gates → uncordon. With `drain.mode: recycle` the node is flipped and uncordoned before its pods are
 * evicted.
 *
 * Every step looks at the node first, so a node that is partly or wholly migrated is taken up from where it is. A drain
 * that fails gives the node back as it was found; after it the node stays cordoned, for a human to retry or roll back.
 * Cancellation gives the node back at any stage, by rolling it back where it was flipped.
 *
 * @throws ApplicationFailure of type DrainBlocked, AgentNotReady, WrongNetwork, VerificationFailed, NodeNotReady,
 * RebootMissing, GateBreached.
 */
export async function nodeMigration(input: NodeWorkflowInput): Promise<void> {
  const steps = new NodeSteps(input);
  const progress: Progress = { flipped: false, undrained: false };
  try {
    await migrate(steps, progress);
  } catch (error) {
    // One whose worker died before it heard of its cancellation fails by its heartbeat timeout.
    const cancelled = CancellationScope.current().consideredCancelled;
    // Before anything of it is taken back.
    const failure = cancelled
      ? new CancelledFailure(`migration of ${input.node} was cancelled`)
      : await steps.diagnosed(error);
    if (progress.flipped && !progress.undrained && !cancelled) throw failure;
    await CancellationScope.nonCancellable(() => (progress.flipped ? rollBackNode(steps) : steps.uncordon()));
    throw failure;
  }
}

async function migrate(steps: NodeSteps, progress: Progress): Promise<void> {
  const { migration, target } = steps;
  let sinceMs = Date.now();
  const recycling = migration.drain.mode === 'recycle';
  const { flipped } = await quick.observeNode.executeWithOptions(steps.summary('observe'), [target]);
  // An earlier attempt came this far.
  progress.flipped = flipped;
  await steps.cordon();
  if (recycling) await flip(steps, progress);
  else await drainAndFlip(steps, progress);
  if (migration.reboot.mode !== 'none') {
    await reboot(steps);
    // What was lost while the node was away is what was asked for.
    sinceMs = Date.now();
  }
  await steps.verify('target', 'first pod on Cilium');
  // Only a node whose new pods were seen on the target network may get more of them.
  if (recycling) await steps.uncordon();
  await steps.recycle('target');
  await allOrCancel(
    () => steps.verify('target', 'verify all paths'),
    () => steps.gate(sinceMs)
  );
  await steps.uncordon();
  steps.begin('migrated');
}

/**
 * Pods take their time to end, and so does the new agent to get ready. The flip begins once the drain has looked at every
 * pod and none needs a consent that was not given; the node is cordoned, so that only pods of DaemonSets come meanwhile.
 */
async function drainAndFlip(steps: NodeSteps, progress: Progress): Promise<void> {
  // A node that an earlier attempt flipped is drained as one that nobody knows.
  let mayFlip = false;
  const drain = async (): Promise<void> => {
    try {
      await steps.drain('target', () => (mayFlip = true));
    } catch (error) {
      // Unless it was the flip that failed, and this one cancelled for it.
      progress.undrained = !CancellationScope.current().consideredCancelled;
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
    await patient.requireIdentityBridge.executeWithOptions(steps.summary('identity bridge'), [target]);
  }
  progress.flipped = true;
  steps.begin('flip to Cilium');
  await patient.flipNode.executeWithOptions(steps.summary('flip to Cilium'), [target]);
}

async function reboot(steps: NodeSteps): Promise<void> {
  const { mode, taskQueue, timeoutSeconds } = steps.migration.reboot;
  if (mode === 'hook' && taskQueue !== undefined) {
    steps.begin('reboot');
    const hook = proxyActivities<RebootHook>({
      taskQueue,
      startToCloseTimeout: '1 hour',
      scheduleToCloseTimeout: `${timeoutSeconds} seconds`,
    });
    await hook.rebootNode.executeWithOptions(steps.summary('reboot, by the hook'), [steps.target]);
  } else {
    steps.begin('wait for a reboot');
    steps.waitFor(`somebody to reboot ${steps.node}`);
  }
  await watching.waitForReboot.executeWithOptions(steps.summary('a new boot ID, and Ready'), [
    { ...steps.target, timeoutSeconds },
  ]);
  steps.waitFor(undefined);
}

/** What a user provides who wants nodes to be rebooted by a program of theirs. */
export interface RebootHook {
  /** Has the node rebooted; called again when it fails, so it must be safe to call twice. */
  rebootNode: (target: { cluster: string; node: string }) => Promise<void>;
}
