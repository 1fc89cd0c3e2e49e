import type { V1Namespace } from '@kubernetes/client-node';
import { ciliumNamespace, helperNamespace, namespaceRecordName } from '../../activities/kubernetes/names.ts';
import type { Lab } from '../../lab/cluster/lab.ts';
import { run, succeeds, waitFor } from '../../lab/process.ts';
import { timeLimits } from './time-limits.ts';

/** Applies objects as an administrator would. */
export async function apply(lab: Lab, ...objects: object[]): Promise<void> {
  const list = { apiVersion: 'v1', kind: 'List', items: objects };
  const args = ['--kubeconfig', lab.layout.kubeconfig, 'apply', '-f', '-'];
  await run(lab.catalogue.bin('kubectl'), args, { input: JSON.stringify(list) });
}

/** Reads one object or list as JSON. */
export async function get<T>(lab: Lab, ...what: string[]): Promise<T> {
  return JSON.parse(await lab.kubectl('get', ...what, '-o', 'json')) as T;
}

/**
 * Records our namespace, which exists, as the one of this service.
 * @param more further fields of the record, such as `hostImage`.
 */
export async function recordNamespace(lab: Lab, more: Readonly<Record<string, string>> = {}): Promise<void> {
  const { metadata } = await get<V1Namespace>(lab, 'namespace', helperNamespace);
  await apply(lab, {
    apiVersion: 'v1',
    kind: 'ConfigMap',
    metadata: { name: namespaceRecordName, namespace: ciliumNamespace },
    data: { createdBy: 'worker', uid: metadata?.uid, ...more },
  });
}

/** Waits until a namespace has its default service account, without which it accepts no pods. */
export async function waitForServiceAccount(lab: Lab, namespace: string): Promise<void> {
  const args = ['--kubeconfig', lab.layout.kubeconfig, '-n', namespace, 'get', 'serviceaccount', 'default'];
  await waitFor(`the default service account of ${namespace}`, () => succeeds(lab.catalogue.bin('kubectl'), args), {
    timeoutMs: timeLimits.clusterChange,
  });
}

/** Returns a node object without a machine behind it. */
export function bareNode(name: string): object {
  return { apiVersion: 'v1', kind: 'Node', metadata: { name } };
}

/** Returns a pod that runs nowhere: it is bound to a node without a kubelet. */
export function barePod(
  namespace: string,
  name: string,
  node: string,
  more: { labels?: object; spec?: object } = {}
): object {
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name, namespace, labels: more.labels ?? {} },
    spec: {
      nodeName: node,
      terminationGracePeriodSeconds: 1,
      tolerations: [{ operator: 'Exists' }],
      containers: [{ name: 'c', image: 'none' }],
      ...more.spec,
    },
  };
}

/** Returns a DaemonSet that looks like Canal, and that runs on no node. Its ConfigMap is `canal-config`. */
export function decoyCanal(namespace: string, name: string): object {
  const labels = { app: name };
  return {
    apiVersion: 'apps/v1',
    kind: 'DaemonSet',
    metadata: { name, namespace },
    spec: {
      selector: { matchLabels: labels },
      template: {
        metadata: { labels },
        spec: {
          nodeSelector: { 'no-node/has-this': 'label' },
          containers: ['calico-node', 'kube-flannel'].map((container) => ({ name: container, image: 'none' })),
          volumes: [{ name: 'flannel-cfg', configMap: { name: 'canal-config' } }],
        },
      },
    },
  };
}

/** Returns the CRD of a Cilium kind, as far as the API server needs it: Cilium's operator creates the real one. */
export function ciliumCrd(kind: string, plural: string, scope: 'Namespaced' | 'Cluster'): object {
  return {
    apiVersion: 'apiextensions.k8s.io/v1',
    kind: 'CustomResourceDefinition',
    metadata: { name: `${plural}.cilium.io` },
    spec: {
      group: 'cilium.io',
      scope,
      names: { kind, plural, singular: kind.toLowerCase(), listKind: `${kind}List` },
      versions: [
        {
          name: 'v2',
          served: true,
          storage: true,
          schema: { openAPIV3Schema: { type: 'object', 'x-kubernetes-preserve-unknown-fields': true } },
        },
      ],
    },
  };
}
