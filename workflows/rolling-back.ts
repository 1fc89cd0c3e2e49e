import { ApplicationFailure } from '@temporalio/workflow';
import { helm, patient, quick } from './activity-proxies.ts';
import { onEveryNode } from './cleaning-up.ts';
import type { ClusterState } from './cluster-state.ts';
import { applyRelease } from './helm-release.ts';
import { bridgeIdentities, removeBridge } from './keeping-policy.ts';
import type { MigratingNodes } from './migrating-nodes.ts';
import { coexistenceValues } from './model/helm-values.ts';
import type { MigrationInput } from './model/input.ts';

/**
 * Takes the whole cluster back: out of the cut-over, each node to Canal, last one first, then Cilium out of the cluster
 * and off the nodes.
 * @throws ApplicationFailure of the type that a node's way back failed with; Cilium stays beside Canal then.
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
    // First the nodes' own configuration, so that no agent comes up that writes no CNI file for its pods.
    await quick.applyNodeConfig.executeWithOptions({ summary: 'CiliumNodeConfig' }, [{ cluster }]);
    await applyRelease(input, coexistenceValues(input), 'back to Cilium beside Canal');
    for (const { name: node } of facts) {
      await patient.renewAgent.executeWithOptions({ summary: `${node}: agent with the earlier configuration` }, [
        { cluster, node },
      ]);
    }
    // Before a pod comes back to Canal.
    await bridgeIdentities(input);
  }
  for (const { name } of facts.filter(({ flipped, cordonedByUs }) => flipped || cordonedByUs).reverse()) {
    const node = state.node(name);
    if (node === undefined || (await nodes.takeBack(node))) continue;
    const { type = 'KubernetesError', message = '' } = node.failure ?? {};
    throw ApplicationFailure.nonRetryable(`${message}; start again and send rollback {"all": true}`, type);
  }
  await removeBridge(input);
  await quick.removeNodeConfig.executeWithOptions({ summary: 'remove CiliumNodeConfig' }, [{ cluster }]);
  await helm.uninstallCilium.executeWithOptions({ summary: 'remove Cilium' }, [{ cluster }]);
  await onEveryNode(cluster, 'cilium');
  await patient.removeCiliumTraces.executeWithOptions({ summary: "remove Cilium's definitions" }, [{ cluster }]);
  await patient.removeHelpers.executeWithOptions({ summary: 'remove helpers and labels' }, [{ cluster }]);
}
