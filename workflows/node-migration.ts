import { CancellationScope, log, setCurrentDetails } from '@temporalio/workflow';
import { draining, patient, quick } from './activity-proxies.ts';
import type { MigrationInput } from './model/input.ts';
import { operatorFailure } from './operator-failure.ts';

/** Input of {@link nodeMigration}. */
export interface NodeMigrationInput {
  node: string;
  migration: MigrationInput;
}

/**
 * Moves one node from Canal to Cilium: cordon → drain → flip → recycle what the drain leaves → verify → uncordon.
 *
 * Every step looks at the node first, so a node that is partly or wholly migrated is taken up from where it is. Failure
 * or cancellation before the flip gives the node back as it was found; after the flip it stays cordoned, for a human or
 * for the next run to look at.
 *
 * @throws ApplicationFailure of type DrainBlocked, AgentNotReady, WrongNetwork, VerificationFailed, NodeNotReady.
 */
export async function nodeMigration({ node, migration }: NodeMigrationInput): Promise<void> {
  const { cluster, drain, podCidr, proberImage } = migration;
  const step = (what: string): void => setCurrentDetails(`**${node}**: ${what}`);
  const summary = (text: string): { summary: string } => ({ summary: `${node}: ${text}` });

  step('cordon');
  await quick.cordonNode.executeWithOptions(summary('cordon'), [{ cluster, node }]);
  let flipped = false;
  try {
    step('drain');
    await draining.drainNode.executeWithOptions(summary('drain'), [
      { cluster, node, options: drain, targetPodCidr: podCidr },
    ]);
    step('flip to Cilium');
    flipped = true;
    await patient.flipNode.executeWithOptions(summary('flip to Cilium'), [{ cluster, node }]);
  } catch (error) {
    if (!flipped) {
      log.warn(`${node} is given back as it was found`, { error });
      await CancellationScope.nonCancellable(() =>
        quick.uncordonNode.executeWithOptions(summary('uncordon after a failed drain'), [{ cluster, node }])
      );
    }
    throw operatorFailure(error, `node ${node}`);
  }
  try {
    const target = { cluster, node, targetPodCidr: podCidr, proberImage };
    step('first pod on Cilium');
    await patient.verifyNode.executeWithOptions(summary('first pod on Cilium'), [target]);
    step('recycle remaining pods');
    await draining.recyclePods.executeWithOptions(summary('recycle remaining pods'), [
      { cluster, node, options: drain, targetPodCidr: podCidr },
    ]);
    step('verify');
    await patient.verifyNode.executeWithOptions(summary('verify all paths'), [target]);
    step('uncordon');
    await quick.uncordonNode.executeWithOptions(summary('uncordon'), [{ cluster, node }]);
    step('migrated');
  } catch (error) {
    throw operatorFailure(error, `node ${node}`);
  }
}
