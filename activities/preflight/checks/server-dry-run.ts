import type { KubernetesObject } from '@kubernetes/client-node';
import { summarizeList } from '../../../model/summarize.ts';
import { applyDry, type NamedObject } from '../../kubernetes/apply.ts';
import { isUnknownKind, messageOf, statusOf } from '../../kubernetes/errors.ts';
import { ciliumNamespace, helperNamespace } from '../../kubernetes/names.ts';
import { ownObjects } from '../../helpers/manifests.ts';
import { mapLimit } from '../../support/map-limit.ts';
import { block, pass, warn, worst, type PreflightCheck } from '../check.ts';
import type { ClusterReader } from '../cluster-reader.ts';
import { objectKey } from '../../kubernetes/object-key.ts';

/** Maximum number of objects that are tried in parallel. */
const maxParallelObjects = 8;

/** Checks that the API server would accept every object. */
export const serverDryRun: PreflightCheck = {
  ensures:
    'The API server, with all its admission, would take every object of the chart and of ours: each is applied with dryRun.',
  verdicts: 'Blocks for each object that is refused; warns where a webhook takes no dry runs.',
  fix: 'Read what the API server said: a policy engine’s rule, a quota, a right of the worker that is missing.',
  rationale: 'What admission refuses would be found when half of Cilium is installed.',
  run: async (cluster) => {
    const objects = await listObjects(cluster);
    const refused: string[] = [];
    const untried: string[] = [];
    await mapLimit(maxParallelObjects, objects, async (object) => {
      try {
        await applyDry(cluster.connection, object as NamedObject);
      } catch (error) {
        // Cilium's operator creates the CRDs of its own kinds.
        if (isUnknownKind(error)) return;
        const refusal = `${object.kind} ${objectKey(object)}: ${messageOf(error).slice(0, 300)}`;
        if (statusOf(error) === undefined) throw error;
        if (refusal.includes('does not support dry run')) untried.push(refusal);
        else refused.push(refusal);
      }
    });
    return worst(
      refused.length > 0
        ? block(`refused: ${summarizeList(refused, 5)}`)
        : pass(`${objects.length} objects would be taken`),
      untried.length > 0 ? warn(summarizeList(untried, 5)) : pass()
    );
  },
};

async function listObjects(cluster: ClusterReader): Promise<KubernetesObject[]> {
  const { input } = cluster;
  const source = await cluster.canal();
  // A chart that cannot be rendered is reported by its own check.
  const rendered = await cluster.chart().then(
    ({ objects }) => objects,
    () => []
  );
  const ours = ownObjects(input, source?.facts.podCidr ?? '');
  // Namespaces that the migration creates do not exist yet: their objects are tried in an existing namespace.
  const newNamespaces = [
    helperNamespace,
    ...rendered.flatMap(({ kind, metadata }) => (kind === 'Namespace' ? [metadata?.name] : [])),
  ];
  return [...rendered, ...ours].map((object) =>
    newNamespaces.includes(object.metadata?.namespace)
      ? { ...object, metadata: { ...object.metadata, namespace: ciliumNamespace } }
      : object
  );
}
