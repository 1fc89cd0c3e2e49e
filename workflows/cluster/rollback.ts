import { ApplicationFailure } from '@temporalio/workflow';
import { helm, patient, quick } from '../activity-proxies.ts';
import { cleanNodes } from './cleanup.ts';
import { agentWaves } from './agent-waves.ts';
import type { ClusterState } from './state.ts';
import { applyRelease } from '../support/helm-release.ts';
import { bridgeIdentities, removeBridge } from './policies.ts';
import type { MigratingNodes } from './node-waves.ts';
import { coexistenceValues } from '../../model/helm-values.ts';
import type { MigrationInput } from '../../model/input.ts';
import { allWaves } from '../../model/waves.ts';
import { allOrCancel } from '../support/all-or-cancel.ts';

/**
 * Rolls back the whole cluster: first the cutover, then each node to Canal, in reverse order and in waves of the usual
 * size; finally removes Cilium from the cluster and from the nodes.
 * @throws ApplicationFailure of the type with which a node's rollback failed; Cilium stays next to Canal then.
 */
export async function rollBackCluster(
  input: MigrationInput,
  state: ClusterState,
  nodes: MigratingNodes,
  ciliumOwnsCni: boolean
): Promise<void> {
  const { cluster } = input;
  const facts = await nodes.refresh();
  if (ciliumOwnsCni) {
    // The nodes' own configuration comes first: without it, a restarted agent writes no CNI file for its pods.
    await quick.applyNodeConfig.executeWithOptions({ summary: 'CiliumNodeConfig' }, [{ cluster }]);
    await applyRelease(input, coexistenceValues(input), 'back to Cilium beside Canal');
    state.done.cutover.length = 0;
    for (const wave of agentWaves(facts, input, state)) {
      await allOrCancel(
        ...wave.nodes.map(
          (node) => () =>
            patient.restartOutdatedAgent.executeWithOptions(
              { summary: `${node}: agent with the earlier configuration` },
              [{ cluster, node }]
            )
        )
      );
    }
    // Needed before a pod returns to Canal.
    await bridgeIdentities(input);
  }
  const remaining = facts.filter(({ flipped, cordonedByUs }) => flipped || cordonedByUs);
  for (const wave of allWaves(remaining, { maxConcurrency: state.status.maxConcurrency, proven: true }).reverse()) {
    await state.handOverWhenLong();
    const waveNodes = wave.nodes.flatMap((name) => state.node(name) ?? []);
    const results = await Promise.all(waveNodes.map((node) => nodes.takeBack(node)));
    // By the result of the rollback, not by the node's status: a node whose migration failed may be rolled back
    // successfully.
    const failed = waveNodes[results.indexOf(false)]?.failure;
    if (failed === undefined) continue;
    throw ApplicationFailure.nonRetryable(
      `${failed.message}; start again and send rollback {"all": true}`,
      failed.type
    );
  }
  await removeBridge(input);
  await quick.removeNodeConfig.executeWithOptions({ summary: 'remove CiliumNodeConfig' }, [{ cluster }]);
  await helm.uninstallCilium.executeWithOptions({ summary: 'remove Cilium' }, [{ cluster }]);
  await cleanNodes(cluster, 'cilium', state);
  await patient.removeCiliumTraces.executeWithOptions({ summary: "remove Cilium's definitions" }, [{ cluster }]);
  await patient.removeHelpers.executeWithOptions({ summary: 'remove helpers and labels' }, [{ cluster }]);
}
