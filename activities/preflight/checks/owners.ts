import type { KubernetesObject } from '@kubernetes/client-node';
import { summarizeList } from '../../../model/summarize.ts';
import { ifFound } from '../../kubernetes/errors.ts';
import { ciliumNamespace } from '../../kubernetes/names.ts';
import { block, pass, warn, worst, type PreflightCheck } from '../check.ts';
import type { ClusterReader } from '../cluster-reader.ts';
import { objectKey } from '../../kubernetes/object-key.ts';

/** Keys of labels and annotations that mark objects which another tool reconciles. */
const owners: readonly { prefix: string; tool: string }[] = [
  { prefix: 'addonmanager.kubernetes.io/mode', tool: 'the add-on manager' },
  { prefix: 'argocd.argoproj.io/', tool: 'Argo CD' },
  { prefix: 'kustomize.toolkit.fluxcd.io/', tool: 'Flux' },
  { prefix: 'helm.toolkit.fluxcd.io/', tool: 'Flux' },
  { prefix: 'objectset.rio.cattle.io/', tool: 'K3s or Rancher' },
  { prefix: 'addons.k8s.io/', tool: 'an add-on operator' },
  { prefix: 'addon.kops.k8s.io/', tool: 'kOps' },
];

/** Objects that show that an operator manages the network. */
const operators: readonly { apiVersion: string; kind: string; tool: string }[] = [
  { apiVersion: 'operator.tigera.io/v1', kind: 'Installation', tool: 'the Tigera operator' },
  { apiVersion: 'helm.cattle.io/v1', kind: 'HelmChartConfig', tool: 'RKE2 or K3s' },
  { apiVersion: 'helm.cattle.io/v1', kind: 'HelmChart', tool: 'RKE2 or K3s' },
];

/** Checks that no other tool would revert the migration's changes. */
export const objectOwners: PreflightCheck = {
  ensures: 'No GitOps tool, add-on manager or operator reconciles Canal, kube-proxy or CoreDNS.',
  verdicts:
    'Blocks for each owner that is found; warns when Canal belongs to a Helm release, because an upgrade would recreate it.',
  fix: 'Pause the reconciliation of these objects, remove Canal from the source of the tool before the cleanup, then waive this check.',
  rationale:
    'The owner would recreate Canal after its removal, and Canal would write its CNI file next to that of Cilium.',
  run: async (cluster) => {
    const objects = await listWatchedObjects(cluster);
    const owned = objects.flatMap((object) => {
      const keys = Object.keys({ ...object.metadata?.labels, ...object.metadata?.annotations });
      const tools = owners
        .filter(({ prefix }) => keys.some((key) => key.startsWith(prefix)))
        .map((owner) => owner.tool);
      return [...new Set(tools)].map((tool) => `${object.kind ?? ''} ${objectKey(object)}: ${tool}`);
    });
    for (const { apiVersion, kind, tool } of operators) {
      const objectsOfKind = await cluster.list(apiVersion, kind);
      if (objectsOfKind.length > 0) owned.push(`${kind} ${summarizeList(objectsOfKind.map(objectKey))}: ${tool}`);
    }
    const byHelm = objects.filter(({ metadata }) => metadata?.annotations?.['meta.helm.sh/release-name'] !== undefined);
    return worst(
      owned.length > 0 ? block(summarizeList(owned)) : pass(`no owner reconciles these ${objects.length} objects`),
      byHelm.length > 0 ? warn(`part of a Helm release: ${summarizeList(byHelm.map(objectKey))}`) : pass()
    );
  },
};

async function listWatchedObjects({
  canal,
  connection,
  daemonSets,
  deployments,
}: ClusterReader): Promise<KubernetesObject[]> {
  const objects: KubernetesObject[] = [];
  const source = await canal();
  if (source !== undefined) {
    const { namespace, configMap } = source;
    objects.push({ ...source.daemonSet, kind: 'DaemonSet' });
    const config = await ifFound(connection.core.readNamespacedConfigMap({ name: configMap, namespace }));
    if (config !== undefined) objects.push({ ...config, kind: 'ConfigMap' });
  }
  const isNamed = (object: KubernetesObject): boolean =>
    object.metadata?.namespace === ciliumNamespace && ['kube-proxy', 'coredns'].includes(object.metadata.name ?? '');
  objects.push(...(await daemonSets()).filter(isNamed).map((object) => ({ ...object, kind: 'DaemonSet' })));
  objects.push(...(await deployments()).filter(isNamed).map((object) => ({ ...object, kind: 'Deployment' })));
  return objects;
}
