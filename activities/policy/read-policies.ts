import type { KubernetesObject } from '@kubernetes/client-node';
import { calicoGroup } from '../canal/export.ts';
import { listKnown } from '../kubernetes/apply.ts';
import type { ClusterConnection } from '../kubernetes/connection.ts';
import { helperNamespace } from '../kubernetes/names.ts';
import { listNodes } from '../kubernetes/nodes.ts';
import { listPods } from '../kubernetes/pods.ts';
import type { CalicoPolicy, NetworkSet } from './evaluation/calico-policy.ts';
import type { ComparisonInput } from './evaluation/compare.ts';
import { asWritten } from './evaluation/kubernetes.ts';

/**
 * Prefix under which Calico stores copies of Kubernetes' policies in some datastores; these are not users' policies.
 */
const mirroredPrefix = 'knp.default.';

/** Calico's staged kinds, which are not enforced; they only preview a policy. */
const stagedKinds = ['StagedNetworkPolicy', 'StagedGlobalNetworkPolicy', 'StagedKubernetesNetworkPolicy'];

/** All facts about the policies of a cluster. */
export interface PolicyFacts extends ComparisonInput {
  /** Number of policies of each kind. */
  counts: Record<string, number>;
}

/**
 * Reads all policies, and the objects that they may select.
 * @param podCidrs networks from which pods have or get addresses.
 */
export async function readPolicies(connection: ClusterConnection, podCidrs: readonly string[]): Promise<PolicyFacts> {
  const version = `${calicoGroup}/v1`;
  const calico = async <T extends KubernetesObject>(kind: string): Promise<T[]> =>
    (await listKnown<T>(connection, version, kind)).filter(
      ({ metadata }) => metadata?.name?.startsWith(mirroredPrefix) !== true
    );
  const [namespaced, clusterwide, sets, globalSets, staged, kubernetes] = await Promise.all([
    calico<CalicoPolicy>('NetworkPolicy'),
    calico<CalicoPolicy>('GlobalNetworkPolicy'),
    calico<NetworkSet>('NetworkSet'),
    calico<NetworkSet>('GlobalNetworkSet'),
    Promise.all(stagedKinds.map((kind) => calico(kind))),
    listKnown(connection, 'networking.k8s.io/v1', 'NetworkPolicy'),
  ]);
  // Our own policies select only our own pods, and are removed with them.
  const networkPolicies = kubernetes.filter(({ metadata }) => metadata?.namespace !== helperNamespace).map(asWritten);
  // Without policies, no labels have to be read.
  const hasNoPolicies = namespaced.length + clusterwide.length + networkPolicies.length === 0;
  const [namespaces, accounts, nodes, pods] = hasNoPolicies
    ? [[], [], [], []]
    : await Promise.all([
        listKnown(connection, 'v1', 'Namespace'),
        listKnown(connection, 'v1', 'ServiceAccount'),
        listNodes(connection),
        listPods(connection),
      ]);
  const counts = Object.fromEntries(
    [
      ['NetworkPolicy', networkPolicies.length] as const,
      ['Calico NetworkPolicy', namespaced.length] as const,
      ['GlobalNetworkPolicy', clusterwide.length] as const,
      ['NetworkSet', sets.length] as const,
      ['GlobalNetworkSet', globalSets.length] as const,
      ['staged Calico policy (not enforced)', staged.flat().length] as const,
    ].filter(([, count]) => count > 0)
  );
  return {
    counts,
    policies: { calico: [...namespaced, ...clusterwide], kubernetes: networkPolicies, sets: [...sets, ...globalSets] },
    cluster: {
      podCidrs,
      namespaces: namespaces.map(({ metadata }) => ({ name: metadata?.name ?? '', labels: metadata?.labels ?? {} })),
      serviceAccounts: accounts.map(({ metadata }) => ({
        namespace: metadata?.namespace ?? '',
        name: metadata?.name ?? '',
        labels: metadata?.labels ?? {},
      })),
      nodeAddresses: nodes.flatMap(
        ({ status }) => status?.addresses?.find(({ type }) => type === 'InternalIP')?.address ?? []
      ),
      pods: pods
        .filter((pod) => !pod.hostNetwork && !pod.finished && pod.namespace !== helperNamespace)
        .map(({ namespace, labels, serviceAccount, namedPorts }) => ({
          namespace,
          labels,
          serviceAccount,
          ports: namedPorts,
        })),
    },
  };
}
