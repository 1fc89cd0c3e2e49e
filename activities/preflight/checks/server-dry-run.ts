import type { KubernetesObject, V1DaemonSet } from '@kubernetes/client-node';
import { summarizeLines, summarizeList } from '../../../model/summarize.ts';
import { applyNamespace } from '../../helpers/namespace.ts';
import { ownObjects } from '../../helpers/manifests.ts';
import { applyDry, createDry, type NamedObject } from '../../kubernetes/apply.ts';
import type { ClusterConnection } from '../../kubernetes/connection.ts';
import { errorMessage, httpStatus, ifFound, isUnknownKind } from '../../kubernetes/errors.ts';
import { ciliumNamespace, helperNamespace } from '../../kubernetes/names.ts';
import { objectKey } from '../../kubernetes/object-key.ts';
import { mapLimit } from '../../support/map-limit.ts';
import { poll } from '../../support/poll.ts';
import { block, pass, warn, worst, type PreflightCheck } from '../check.ts';
import type { ClusterReader } from '../cluster-reader.ts';
import { buildOneShotPods, buildWorkloadPods } from '../dry-run-pods.ts';
import { removeInspectors } from '../host-facts.ts';

/** Maximum number of objects that are tried in parallel. */
const maxParallelObjects = 8;

/** Maximum number of rejected objects that are named. */
const maxRejections = 10;

/** Outcome of the dry runs. */
interface Trial {
  accepted: number;
  rejected: string[];
  /** Objects with a webhook that does not support dry runs. */
  untried: string[];
}

/** Checks that the API server would accept every object. */
export const serverDryRun: PreflightCheck = {
  ensures:
    'The API server, including admission, accepts every object of the chart and of the migration, and every kind of pod that the migration starts: probers, verification, inspection, and the privileged scripts on the nodes. Each is applied as a dry run, in the namespace that it will have.',
  verdicts: 'Blocks for each rejected object; warns where a webhook does not support dry runs.',
  fix: 'Read the error of the API server: a rule of a policy engine, a quota, or a missing permission of the worker. Pods of the namespace cni-live-migration need privileges on the nodes: exempt it in the policy engine.',
  rationale:
    'A rejected object would stop the installation of Cilium midway, and a rejected pod a rollback or the cleanup. Policy engines usually exempt kube-system, but not the namespace of the migration, so it is created for this check.',
  run: async (cluster) => {
    const trial: Trial = { accepted: 0, rejected: [], untried: [] };
    const objects = await listObjects(cluster);
    try {
      const hasNamespace = await createNamespace(cluster.connection, trial);
      const triable = objects.filter(({ metadata }) => hasNamespace || metadata?.namespace !== helperNamespace);
      await mapLimit(maxParallelObjects, triable, (object) => tryObject(cluster.connection, object, trial));
    } finally {
      // With inspection, the pods of the checks are in the namespace: it is removed together with them.
      if (!cluster.input.nodeInspection) await removeInspectors(cluster.connection);
    }
    const { accepted, rejected, untried } = trial;
    return worst(
      rejected.length > 0
        ? block(...summarizeLines(rejected, maxRejections, 'rejected objects'))
        : pass(acceptedText(accepted, objects.length)),
      untried.length > 0 ? warn(summarizeList(untried, 5)) : pass()
    );
  },
};

function acceptedText(accepted: number, total: number): string {
  return `${accepted} of ${total} objects accepted${accepted < total ? '; the kinds of the others do not exist yet' : ''}`;
}

/**
 * Creates our namespace, and waits for its default service account: without it, no pod is accepted.
 * @returns false when the API server rejects the namespace.
 */
async function createNamespace(connection: ClusterConnection, trial: Trial): Promise<boolean> {
  try {
    await applyNamespace(connection);
  } catch (error) {
    if (httpStatus(error) === undefined) throw error;
    trial.rejected.push(`Namespace ${helperNamespace}: ${errorMessage(error).slice(0, 300)}`);
    return false;
  }
  await poll(
    async () => {
      const account = { name: 'default', namespace: helperNamespace };
      const exists = (await ifFound(connection.core.readNamespacedServiceAccount(account))) !== undefined;
      return exists ? { done: undefined } : { waitingFor: `service account default of namespace ${helperNamespace}` };
    },
    { timeoutMs: 60_000, intervalMs: 300, onTimeout: 'KubernetesError' }
  );
  return true;
}

async function tryObject(connection: ClusterConnection, object: KubernetesObject, trial: Trial): Promise<void> {
  try {
    // As the migration sends them: it has no permission to patch pods.
    await (object.kind === 'Pod' ? createDry : applyDry)(connection, object as NamedObject);
    trial.accepted++;
  } catch (error) {
    // Cilium's operator creates the CRDs of its own kinds.
    if (isUnknownKind(error)) return;
    const rejection = `${object.kind} ${objectKey(object)}: ${errorMessage(error).slice(0, 300)}`;
    if (httpStatus(error) === undefined) throw error;
    if (rejection.includes('does not support dry run')) trial.untried.push(rejection);
    else trial.rejected.push(rejection);
  }
}

async function listObjects(cluster: ClusterReader): Promise<KubernetesObject[]> {
  const { input } = cluster;
  const source = await cluster.canalFacts();
  // A chart that cannot be rendered is reported by its own check.
  const chartObjects = await cluster.chart().then(
    ({ objects }) => objects,
    () => []
  );
  const objects = [...inExistingNamespaces(chartObjects), ...ownObjects(input, source?.podCidr ?? '')];
  const [node] = await cluster.nodes();
  const oneShotPods = buildOneShotPods(input, node?.metadata?.name ?? '', findAgentImage(chartObjects));
  return [...objects, ...buildWorkloadPods(objects), ...oneShotPods];
}

/** Moves the chart's objects in namespaces that the chart itself creates into an existing one. */
function inExistingNamespaces(objects: readonly KubernetesObject[]): KubernetesObject[] {
  const newNamespaces = objects.flatMap(({ kind, metadata }) => (kind === 'Namespace' ? [metadata?.name] : []));
  return objects.map((object) =>
    newNamespaces.includes(object.metadata?.namespace)
      ? { ...object, metadata: { ...object.metadata, namespace: ciliumNamespace } }
      : object
  );
}

/** Returns the image of the agents, which also runs the scripts on the nodes. */
function findAgentImage(objects: readonly KubernetesObject[]): string | undefined {
  const agents = objects.find(({ kind, metadata }) => kind === 'DaemonSet' && metadata?.name === 'cilium');
  const containers = (agents as V1DaemonSet | undefined)?.spec?.template.spec?.containers;
  return containers?.find(({ name }) => name === 'cilium-agent')?.image;
}
