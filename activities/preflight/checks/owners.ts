import type { KubernetesObject } from '@kubernetes/client-node';
import { summarizeList } from '../../../model/summarize.ts';
import { ciliumNamespace } from '../../kubernetes/names.ts';
import { block, pass, warn, worst, type PreflightCheck } from '../check.ts';
import type { ClusterReader } from '../cluster-reader.ts';
import { objectKey } from '../../kubernetes/object-key.ts';

/** Keys of labels and annotations that mark objects which another tool reconciles. */
const owners: readonly { prefix: string; who: string }[] = [
  { prefix: 'addonmanager.kubernetes.io/mode', who: 'the add-on manager' },
  { prefix: 'argocd.argoproj.io/', who: 'Argo CD' },
  { prefix: 'kustomize.toolkit.fluxcd.io/', who: 'Flux' },
  { prefix: 'helm.toolkit.fluxcd.io/', who: 'Flux' },
  { prefix: 'objectset.rio.cattle.io/', who: 'K3s or Rancher' },
  { prefix: 'addons.k8s.io/', who: 'an add-on operator' },
  { prefix: 'addon.kops.k8s.io/', who: 'kOps' },
];

/** Objects that show that an operator manages the network. */
const operators: readonly { apiVersion: string; kind: string; who: string }[] = [
  { apiVersion: 'operator.tigera.io/v1', kind: 'Installation', who: 'the Tigera operator' },
  { apiVersion: 'helm.cattle.io/v1', kind: 'HelmChartConfig', who: 'RKE2 or K3s' },
  { apiVersion: 'helm.cattle.io/v1', kind: 'HelmChart', who: 'RKE2 or K3s' },
];

/** Checks that no other tool would revert the migration's changes. */
export const objectOwners: PreflightCheck = {
  ensures: 'No GitOps tool, add-on manager or operator puts Canal, kube-proxy or CoreDNS back as they were.',
  verdicts:
    'Blocks for each owner that is found; warns when Canal is a Helm release, which an upgrade would bring back.',
  fix: 'Pause the reconciliation of these objects, take Canal out of what the tool applies before the clean-up, then waive this check.',
  why: 'Canal would come back after its removal, and write its CNI file beside Cilium’s.',
  run: async (cluster) => {
    const objects = await watched(cluster);
    const found = objects.flatMap((object) => {
      const keys = Object.keys({ ...object.metadata?.labels, ...object.metadata?.annotations });
      const who = owners.filter(({ prefix }) => keys.some((key) => key.startsWith(prefix))).map((owner) => owner.who);
      return [...new Set(who)].map((one) => `${object.kind ?? ''} ${objectKey(object)}: ${one}`);
    });
    for (const { apiVersion, kind, who } of operators) {
      const objectsOfKind = await cluster.list(apiVersion, kind);
      if (objectsOfKind.length > 0) found.push(`${kind} ${summarizeList(objectsOfKind.map(objectKey))}: ${who}`);
    }
    const byHelm = objects.filter(({ metadata }) => metadata?.annotations?.['meta.helm.sh/release-name'] !== undefined);
    return worst(
      found.length > 0
        ? block(summarizeList(found))
        : pass(`${objects.length} objects have no owner that would put them back`),
      byHelm.length > 0 ? warn(`of a Helm release: ${summarizeList(byHelm.map(objectKey))}`) : pass()
    );
  },
};

async function watched({ canal, connection, daemonSets, deployments }: ClusterReader): Promise<KubernetesObject[]> {
  const found: KubernetesObject[] = [];
  const source = await canal();
  if (source !== undefined) {
    const { namespace, configMap } = source;
    found.push({ ...source.daemonSet, kind: 'DaemonSet' });
    found.push({
      ...(await connection.core.readNamespacedConfigMap({ name: configMap, namespace })),
      kind: 'ConfigMap',
    });
  }
  const named = (object: KubernetesObject): boolean =>
    object.metadata?.namespace === ciliumNamespace && ['kube-proxy', 'coredns'].includes(object.metadata.name ?? '');
  found.push(...(await daemonSets()).filter(named).map((object) => ({ ...object, kind: 'DaemonSet' })));
  found.push(...(await deployments()).filter(named).map((object) => ({ ...object, kind: 'Deployment' })));
  return found;
}
