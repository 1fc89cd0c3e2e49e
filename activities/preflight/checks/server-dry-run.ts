import type { KubernetesObject } from '@kubernetes/client-node';
import { summarizeList } from '../../../model/summarize.ts';
import { applyDry, type NamedObject } from '../../kubernetes/apply.ts';
import { isUnknownKind, errorMessage, httpStatus } from '../../kubernetes/errors.ts';
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
    'The API server, including admission, accepts every object of the chart and every object of the migration. Each is applied as a dry run.',
  verdicts: 'Blocks for each rejected object; warns where a webhook does not support dry runs.',
  fix: 'Read the error of the API server: a rule of a policy engine, a quota, or a missing permission of the worker.',
  rationale: 'A rejected object would stop the installation of Cilium midway.',
  run: async (cluster) => {
    const objects = await listObjects(cluster);
    const rejected: string[] = [];
    const untried: string[] = [];
    let accepted = 0;
    await mapLimit(maxParallelObjects, objects, async (object) => {
      try {
        await applyDry(cluster.connection, object as NamedObject);
        accepted++;
      } catch (error) {
        // Cilium's operator creates the CRDs of its own kinds.
        if (isUnknownKind(error)) return;
        const rejection = `${object.kind} ${objectKey(object)}: ${errorMessage(error).slice(0, 300)}`;
        if (httpStatus(error) === undefined) throw error;
        if (rejection.includes('does not support dry run')) untried.push(rejection);
        else rejected.push(rejection);
      }
    });
    return worst(
      rejected.length > 0
        ? block(`rejected: ${summarizeList(rejected, 5)}`)
        : pass(acceptedText(accepted, objects.length)),
      untried.length > 0 ? warn(summarizeList(untried, 5)) : pass()
    );
  },
};

function acceptedText(accepted: number, total: number): string {
  return `${accepted} of ${total} objects accepted${accepted < total ? '; the kinds of the others do not exist yet' : ''}`;
}

async function listObjects(cluster: ClusterReader): Promise<KubernetesObject[]> {
  const { input } = cluster;
  const source = await cluster.canalFacts();
  // A chart that cannot be rendered is reported by its own check.
  const rendered = await cluster.chart().then(
    ({ objects }) => objects,
    () => []
  );
  const ours = ownObjects(input, source?.podCidr ?? '');
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
