import type { KubernetesObject } from '@kubernetes/client-node';
import type { MigrationInput } from '../../model/input.ts';
import { buildPolicyReport, type PolicyReport } from '../../model/policies.ts';
import { findCanal, readCanalFacts } from '../canal/detect.ts';
import { failure } from '../support/failures.ts';
import { heartbeat } from '../support/heartbeat.ts';
import { applyObject, deleteObject, listKnown, type NamedObject } from '../kubernetes/apply.ts';
import type { ClusterConnection } from '../kubernetes/connection.ts';
import type { OnCluster } from '../kubernetes/on-cluster.ts';
import { isOurs, ownedLabels } from '../kubernetes/names.ts';
import type { CiliumPolicy } from './evaluation/cilium.ts';
import { compareInThread } from './compare-in-thread.ts';
import type { PolicyComparison } from './evaluation/compare.ts';
import { readPolicies } from './read-policies.ts';

/** Label on every policy that this service creates, in addition to the label on all of its objects. */
const componentLabel = 'app.kubernetes.io/component';
const component = 'translated-policy';

/** Kinds of the created policies. */
const kinds = ['CiliumNetworkPolicy', 'CiliumClusterwideNetworkPolicy'] as const;

/** Creates the activities on the Cilium equivalents of users' policies. None of them changes a user's policy. */
export function createPolicyActivities(onCluster: OnCluster) {
  return {
    /**
     * Compares how both networks evaluate the policies. Changes nothing.
     * @throws SourceNotFound without Canal.
     */
    comparePolicies: onCluster(
      'compare the policies',
      async (connection, { input }: { input: MigrationInput }): Promise<PolicyReport> => {
        const { report } = await readAndComparePolicies(connection, input);
        return report;
      }
    ),

    /**
     * Applies what Cilium needs in addition to Kubernetes' NetworkPolicies to evaluate traffic as Calico does:
     * translations of Calico's own policies, where they are equivalent, and rules for the pods and nodes within
     * ipBlocks. Removes what an earlier call applied and is no longer needed.
     */
    applyTranslatedPolicies: onCluster(
      'apply the translated policies',
      async (connection, { input }: { input: MigrationInput }): Promise<PolicyReport> => {
        const { report, comparison } = await readAndComparePolicies(connection, input);
        heartbeat({ waitingFor: 'the API server to store the translated policies' });
        for (const object of comparison.objects) await applyObject(connection, withOwnedMetadata(object));
        await removeStalePolicies(connection, comparison.objects);
        return report;
      }
    ),
  };
}

/** Reads and compares the policies; also used by the preflight check of policies. */
export async function readAndComparePolicies(
  connection: ClusterConnection,
  { podCidr, cluster }: Pick<MigrationInput, 'podCidr' | 'cluster'>
): Promise<{ report: PolicyReport; comparison: PolicyComparison }> {
  const canal = await findCanal(connection);
  if (canal === undefined) throw failure('SourceNotFound', `cluster ${cluster} does not run Canal`);
  const { podCidr: sourcePodCidr } = await readCanalFacts(connection, canal);
  const { counts, policies, cluster: selectable } = await readPolicies(connection, [sourcePodCidr, podCidr]);
  const comparison = await compareInThread({ policies, cluster: selectable });
  return { comparison, report: buildPolicyReport(counts, comparison.flows, comparison.verdicts) };
}

function withOwnedMetadata(object: CiliumPolicy): NamedObject {
  const { name = '', namespace, ownerReferences } = object.metadata ?? {};
  return {
    ...object,
    apiVersion: 'cilium.io/v2',
    metadata: {
      name,
      ...(namespace !== undefined && { namespace }),
      ...(ownerReferences !== undefined && { ownerReferences }),
      labels: { ...ownedLabels, [componentLabel]: component },
    },
  };
}

async function removeStalePolicies(connection: ClusterConnection, current: readonly CiliumPolicy[]): Promise<void> {
  const computeKey = ({ kind, metadata }: KubernetesObject): string =>
    [kind, metadata?.namespace ?? '', metadata?.name].join(' ');
  const currentKeys = new Set(current.map(computeKey));
  for (const kind of kinds) {
    for (const object of await listKnown(connection, 'cilium.io/v2', kind)) {
      const { name = '', namespace, labels = {} } = object.metadata ?? {};
      if (!isOurs(object) || labels[componentLabel] !== component || currentKeys.has(computeKey(object))) continue;
      await deleteObject(connection, {
        apiVersion: 'cilium.io/v2',
        kind,
        metadata: { name, ...(namespace !== undefined && { namespace }) },
      });
    }
  }
}
