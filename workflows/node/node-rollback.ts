import type { NodeWorkflowInput } from '../../model/node-input.ts';
import { NodeSteps } from './node-steps.ts';
import { CancellationScope } from '@temporalio/workflow';
import { operatorFailure } from '../support/operator-failure.ts';
import { parseNodeInput } from '../support/parse-input.ts';

/**
 * Rolls back one node from Cilium to Canal, from any stage of its migration: cordon → remove the flip label and restore
 * Canal's CNI file → drain → recycle the remaining pods → verify → uncordon. Each step reads the node first.
 *
 * @param input checked before anything else.
 * @throws ApplicationFailure of the types of a node's migration; the node stays cordoned then.
 */
export async function nodeRollback(input: NodeWorkflowInput): Promise<void> {
  const steps = new NodeSteps(parseNodeInput(input));
  steps.beginRestoration();
  try {
    // Not interrupted: half a rollback would leave the node cordoned.
    await CancellationScope.nonCancellable(() => rollBackNode(steps));
  } catch (error) {
    throw operatorFailure(error, `rollback of node ${input.node}`);
  }
}

/** Runs the steps of {@link nodeRollback}. Also used by a migration that is cancelled. */
export async function rollBackNode(steps: NodeSteps): Promise<void> {
  await steps.cordon('canal');
  // Before the drain, so that pods started meanwhile, such as those of DaemonSets, get the right network at once.
  steps.begin('revert flip');
  await steps.run('revertNodeFlip', 'remove flip label and restart agent', steps.target);
  await steps.run('restoreSourceCni', "restore Canal's CNI file", steps.target);
  await steps.verify('canal', 'verify first pod on Canal');
  await steps.drain('canal');
  await steps.recycle('canal');
  await steps.verify('canal', 'verify all paths');
  await steps.uncordon();
  steps.begin('rolled back');
}
