import type { Lab } from '../../lab/cluster/lab.ts';
import { coexistenceImage, proberImage } from '../../lab/tools/node-images.ts';
import { listPods } from './pod-networks.ts';
import { readText } from './reads.ts';

/** Kinds of objects that Canal or a migration creates. */
const kinds = [
  ...['crds', 'clusterroles', 'clusterrolebindings', 'roles', 'rolebindings', 'leases', 'serviceaccounts'],
  ...['configmaps', 'secrets', 'services', 'endpointslices', 'deployments', 'daemonsets', 'networkpolicies'],
];

/**
 * Returns objects of Canal, or of a migration's helpers, by their names; the export that a cleanup creates is among
 * them.
 */
export async function canalOrProjectObjects(lab: Lab): Promise<string[]> {
  const names = (await readText(lab, 'get', kinds.join(','), '-A', '-o', 'name')).split('\n');
  return names.filter((name) => /cali|flannel|canal|cni-live-migration|prober|identity-bridge/.test(name));
}

/** Returns the pods of a migration's helpers in any namespace, by label and by image. */
export async function listHelperPods(lab: Lab): Promise<string[]> {
  const helpers = (await listPods(lab, '-A')).filter(({ metadata, spec }) => {
    const images = [...(spec?.containers ?? []), ...(spec?.initContainers ?? [])].map(({ image }) => image);
    const owned = metadata?.labels?.['app.kubernetes.io/managed-by'] === 'cni-live-migration';
    return owned || images.some((image) => image === proberImage || image === coexistenceImage);
  });
  return helpers.map(({ metadata }) => `${metadata?.namespace}/${metadata?.name}`);
}

/** Returns the names of all namespaces except the one that Cilium's chart creates. */
export async function listNamespaces(lab: Lab): Promise<string[]> {
  const names = (await readText(lab, 'get', 'namespaces', '-o', 'name')).trim().split('\n');
  return names.filter((name) => name !== 'namespace/cilium-secrets');
}
