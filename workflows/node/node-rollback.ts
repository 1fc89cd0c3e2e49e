import { patient } from '../activity-proxies.ts';
import { NodeSteps, type NodeWorkflowInput } from './node-steps.ts';
import { operatorFailure } from '../support/operator-failure.ts';

/**
 * Takes one node back from Cilium to Canal, from whatever stage of its migration: cordon → drain → take the label and
 * put Canal's CNI file back → recycle what the drain leaves → verify → uncordon. Each step looks at the node first.
 *
 * @throws ApplicationFailure of the types of a node's migration; the node stays cordoned then.
 */
export async function nodeRollback(input: NodeWorkflowInput): Promise<void> {
  const steps = new NodeSteps(input);
  try {
    await rollBackNode(steps);
  } catch (error) {
    throw operatorFailure(error, `roll-back of node ${input.node}`);
  }
}

/** The steps of {@link nodeRollback}, for a migration that is cancelled in its middle too. */
export async function rollBackNode(steps: NodeSteps): Promise<void> {
  await steps.cordon();
  // Before the drain: a pod that comes into being meanwhile, as DaemonSets' do, shall get the right network at once.
  steps.begin('back to Canal');
  await patient.unflipNode.executeWithOptions(steps.summary('take the label, replace the agent'), [steps.target]);
  await patient.restoreSourceCni.executeWithOptions(steps.summary("put Canal's CNI file back"), [steps.target]);
  await steps.verify('source', 'first pod back on Canal');
  await steps.drain('source');
  await steps.recycle('source');
  await steps.verify('source', 'verify all paths');
  await steps.uncordon();
  steps.begin('rolled back');
}
