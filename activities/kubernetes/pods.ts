import type { V1Container, V1ObjectMeta, V1Pod, V1PodSpec } from '@kubernetes/client-node';
import { quantityToScalar } from '@kubernetes/client-node/dist/util.js';
import type { ClusterConnection } from './connection.ts';
import { allPages } from './pagination.ts';
import { isReady } from './conditions.ts';

/** A pod, with the fields that draining and verification use. */
export interface PodFacts {
  /** namespace/name */
  key: string;
  namespace: string;
  name: string;
  uid: string;
  node: string;
  ip: string | undefined;
  hostNetwork: boolean;
  /** True when its phase is Succeeded or Failed: it no longer runs and has no network. */
  finished: boolean;
  /** True for a static pod, which the kubelet creates from a file; the API server only mirrors it. */
  mirror: boolean;
  /** Kind of the controller that recreates it; undefined for a pod without a controller. */
  controller: string | undefined;
  /** Names of its emptyDir volumes. */
  emptyDirs: string[];
  /** Names of the PersistentVolumeClaims that it uses. */
  claims: string[];
  serviceAccount: string;
  /** Ports of its containers that have a name. */
  namedPorts: { name: string; protocol: string; port: number }[];
  /** Host ports of a pod that is not on the host's network. */
  hostPorts: number[];
  /** Resource requests: CPU in cores, memory in bytes. */
  requests: { cpu: number; memory: number };
  labels: Readonly<Record<string, string>>;
  annotations: Readonly<Record<string, string>>;
  ready: boolean;
  /** Termination grace period, in seconds. */
  graceSeconds: number;
  /** Creation time (ISO 8601). */
  createdAt: string;
  /** Finalizers, which keep the pod after its termination. */
  finalizers: string[];
  /**
   * Time by which a terminating pod has to have ended, grace period included (ISO 8601); undefined when it is not
   * terminating.
   */
  deletion: { at: string } | undefined;
}

/**
 * Scope of a list of pods.
 * @default the whole cluster
 */
interface PodScope {
  namespace?: string;
  node?: string;
  /**
   * True to read from the cache of the API server, which may be slightly stale. Intended for frequent polls: for any
   * other list of one node's pods, an older API server, or one with an older etcd, reads every pod of the cluster
   * (https://kubernetes.io/docs/reference/using-api/api-concepts/#semantics-for-get-and-list).
   * @default false
   */
  cached?: boolean;
}

/** Returns all pods of a scope. */
export async function listPods({ core }: ClusterConnection, scope: PodScope = {}): Promise<PodFacts[]> {
  const { namespace, node, cached = false } = scope;
  return allPages(async (page) => {
    const which = {
      ...page,
      ...(node !== undefined && { fieldSelector: `spec.nodeName=${node}` }),
      ...(cached && { resourceVersion: '0' }),
    };
    const list = await (namespace === undefined
      ? core.listPodForAllNamespaces(which)
      : core.listNamespacedPod({ ...which, namespace }));
    // Each page is reduced at once: a complete pod is ten times as large.
    return { ...list, items: list.items.map(podFacts) };
  });
}

/**
 * Computes the requests of a pod as the scheduler and the kubelet count them: those of its containers, sidecars
 * included, or those of its largest init container if that is more, and its overhead
 * (k8s.io/component-helpers resource). Requests of the pod itself replace those of its containers.
 */
export function podRequests(spec: Partial<V1PodSpec>): PodFacts['requests'] {
  return { cpu: sumRequests(spec, 'cpu'), memory: sumRequests(spec, 'memory') };
}

function sumRequests(
  { containers = [], initContainers = [], overhead, resources }: Partial<V1PodSpec>,
  resource: string
) {
  const request = (container: V1Container): number => quantity(container.resources?.requests?.[resource]) ?? 0;
  const running = containers.reduce((sum, container) => sum + request(container), 0);
  let sidecars = 0;
  let starting = 0;
  for (const container of initContainers) {
    if (container.restartPolicy === 'Always') sidecars += request(container);
    // An init container runs next to the sidecars that were started before it.
    starting = Math.max(starting, sidecars + (container.restartPolicy === 'Always' ? 0 : request(container)));
  }
  const ofPod = quantity(resources?.requests?.[resource]);
  return (ofPod ?? Math.max(running + sidecars, starting)) + (quantity(overhead?.[resource]) ?? 0);
}

/** Parses a quantity such as `250m` or `1Gi`; undefined when there is none. */
export function quantity(text: string | undefined): number | undefined {
  return text === undefined ? undefined : Number(quantityToScalar(text));
}

/** Extracts the facts from an API object, in which every field is optional. */
export function podFacts(pod: V1Pod): PodFacts {
  const { podIP: ip, phase } = pod.status ?? {};
  return {
    ...metadataFacts(pod.metadata ?? {}),
    ...specFacts(pod.spec ?? {}),
    ip,
    finished: phase === 'Succeeded' || phase === 'Failed',
    ready: isReady(pod),
  };
}

function metadataFacts(metadata: V1ObjectMeta) {
  const { namespace = '', name = '', uid = '', labels = {}, annotations = {} } = metadata;
  const { ownerReferences = [], finalizers = [], creationTimestamp = 0, deletionTimestamp } = metadata;
  return {
    key: `${namespace}/${name}`,
    namespace,
    name,
    uid,
    labels,
    annotations,
    finalizers,
    mirror: annotations['kubernetes.io/config.mirror'] !== undefined,
    controller: ownerReferences.find((owner) => owner.controller === true)?.kind,
    createdAt: new Date(creationTimestamp).toISOString(),
    deletion: deletionTimestamp === undefined ? undefined : { at: new Date(deletionTimestamp).toISOString() },
  };
}

function specFacts(spec: Partial<V1PodSpec>) {
  const { nodeName = '', hostNetwork = false, volumes = [], containers = [] } = spec;
  const ports = containers.flatMap((container) => container.ports ?? []);
  return {
    node: nodeName,
    hostNetwork,
    emptyDirs: volumes.filter((volume) => volume.emptyDir !== undefined).map((volume) => volume.name),
    claims: volumes.flatMap(({ persistentVolumeClaim }) =>
      persistentVolumeClaim === undefined ? [] : [persistentVolumeClaim.claimName]
    ),
    serviceAccount: spec.serviceAccountName ?? 'default',
    namedPorts: ports.flatMap(({ name, protocol = 'TCP', containerPort: port }) =>
      name === undefined ? [] : [{ name, protocol, port }]
    ),
    hostPorts: hostNetwork ? [] : ports.flatMap(({ hostPort }) => hostPort ?? []),
    requests: podRequests(spec),
    graceSeconds: spec.terminationGracePeriodSeconds ?? 30,
  };
}
