import type { KubernetesObject, V1PodTemplateSpec } from '@kubernetes/client-node';
import type { MigrationInput } from '../../model/input.ts';
import { defaultHostFolders } from '../canal/host-folders.ts';
import { oneShotPodManifest, type OneShotPod } from '../helpers/one-shot-pod.ts';
import { tablesPod } from '../host/packet-tables.ts';
import { hostPod, hostScripts } from '../host/run-script.ts';
import type { NamedObject } from '../kubernetes/apply.ts';
import { verificationPod } from '../probe/verify.ts';
import { inspectionPod } from './host-facts.ts';

/** Prefix of the names of pods that are only tried: no existing pod has such a name. */
const namePrefix = 'dry-run-';

/** A workload whose controller creates pods. */
type Workload = KubernetesObject & { spec?: { template?: V1PodTemplateSpec } };

/**
 * Builds one pod of every kind that a migration starts once on a node: verification, inspection, each script, and the
 * removal of tables.
 * @param node an existing node.
 * @param hostImage image of the scripts; undefined when it is not known, which leaves them out.
 */
export function buildOneShotPods(input: MigrationInput, node: string, hostImage: string | undefined): NamedObject[] {
  const { proberImage, coexistenceImage, tunnelPort, nodeInspection } = input;
  const pods: OneShotPod[] = [
    verificationPod({ node, proberImage }, [], ''),
    tablesPod(node, coexistenceImage),
    ...(nodeInspection ? [inspectionPod(node, proberImage, tunnelPort, [], '')] : []),
    ...(hostImage === undefined
      ? []
      : hostScripts.map((script) => hostPod(node, hostImage, script, defaultHostFolders))),
  ];
  return pods.map((pod) => {
    const manifest = oneShotPodManifest(pod);
    return { ...manifest, metadata: { ...manifest.metadata, name: `${namePrefix}${pod.app}` } };
  });
}

/**
 * Builds a pod of each workload among the objects, because admission accepts a DaemonSet whose pods it then refuses. The
 * pod has no service account of its own: that one does not exist before the migration.
 */
export function buildWorkloadPods(objects: readonly KubernetesObject[]): NamedObject[] {
  return objects.flatMap((object) => {
    const { spec } = object as Workload;
    return spec?.template?.spec === undefined ? [] : [buildWorkloadPod(object, spec.template)];
  });
}

function buildWorkloadPod({ kind = '', metadata = {} }: KubernetesObject, template: V1PodTemplateSpec): NamedObject {
  const { labels = {}, annotations = {} } = template.metadata ?? {};
  const { serviceAccountName, serviceAccount, ...spec } = template.spec ?? { containers: [] };
  const { name = '', namespace = '' } = metadata;
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name: `${namePrefix}${kind.toLowerCase()}-${name}`, namespace, labels, annotations },
    ...{ spec },
  };
}
