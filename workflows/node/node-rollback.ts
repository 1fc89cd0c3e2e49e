import { patient } from '../activity-proxies.ts';
import { NodeSteps, type NodeWorkflowInput } from './node-steps.ts';
import { operatorFailure } from '../support/operator-failure.ts';

/**
 * Rolls back one node from Cilium to Canal, from any stage of its migration: cordon → remove the flip label and restore
 * Canal's CNI file → drain → recycle the remaining pods → verify → uncordon. Each step reads the node first.
 *
 * @throws ApplicationFailure of the types of a node's migration; the node stays cordoned then.
 */
export async function nodeRollback(input: NodeWorkflowInput): Promise<void> {
  const steps = new NodeSteps(input);
  try {
    await rollBackNode(steps);
  } catch (error) {
    throw operatorFailure(error, `rollback of node ${input.node}`);
  }
}

/** Runs the steps of {@link nodeRollback}. Also used by a migration that is cancelled. */
export async function rollBackNode(steps: NodeSteps): Promise<void> {
  await steps.cordon();
  // Before the drain, so that pods started meanwhile, such as those of DaemonSets, get the right network at once.
  steps.begin('back to Canal');
  await patient.revertNodeFlip.executeWithOptions(steps.summary('take the label, replace the agent'), [steps.target]);
  await patient.restoreSourceCni.executeWithOptions(steps.summary("put Canal's CNI file back"), [steps.target]);
  await steps.verify('canal', 'first pod back on Canal');
  await steps.drain('canal');
  await steps.recycle('canal');
  await steps.verify('canal', 'verify all paths');
  await steps.uncordon();
  steps.begin('rolled back');
}
