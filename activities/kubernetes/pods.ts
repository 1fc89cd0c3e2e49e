import type { V1Pod } from '@kubernetes/client-node';
import { contains } from '../../workflows/model/networks.ts';
import type { ClusterConnection } from './connection.ts';

/** A pod as far as draining and verifying need it. */
export interface PodFacts {
  /** namespace/name */
  key: string;
  namespace: string;
  name: string;
  uid: string;
  node: string;
  ip: string | undefined;
  hostNetwork: boolean;
  /** Succeeded or Failed: it runs no more and has no network. */
  finished: boolean;
  /** Made by the kubelet from a file; the API server only mirrors it. */
  mirror: boolean;
  /** Kind of the controller that makes it anew; undefined for a pod of its own. */
  controller: string | undefined;
  /** Names of its emptyDir volumes. */
  emptyDirs: string[];
  labels: Readonly<Record<string, string>>;
  /** When it was made (ISO 8601). */
  createdAt: string;
  /** What holds it after its end. */
  finalizers: string[];
  /** By when it has to have ended (ISO 8601), when it was told to: the grace period is in it. */
  deletion: { at: string } | undefined;
}

const pageSize = 500;

/** All pods of one node. */
export async function podsOnNode(connection: ClusterConnection, node: string): Promise<PodFacts[]> {
  return listPods(connection, `spec.nodeName=${node}`);
}

/** All pods of the cluster, or those that match a field selector. */
export async function listPods({ core }: ClusterConnection, fieldSelector?: string): Promise<PodFacts[]> {
  const pods: PodFacts[] = [];
  let next: string | undefined;
  do {
    const page = await core.listPodForAllNamespaces({
      limit: pageSize,
      ...(fieldSelector !== undefined && { fieldSelector }),
      ...(next !== undefined && { _continue: next }),
    });
    pods.push(...page.items.map(podFacts));
    next = page.metadata?._continue;
  } while (next !== undefined && next !== '');
  return pods;
}

/** True for a running pod that has an address outside the target's pod CIDR. */
export function isOnSource(pod: PodFacts, targetPodCidr: string): boolean {
  return !pod.hostNetwork && !pod.finished && pod.ip !== undefined && !contains(targetPodCidr, pod.ip);
}

/** Narrows what the API gives, in which every field is optional. */
export function podFacts(pod: V1Pod): PodFacts {
  const { metadata, spec, status } = pod;
  const namespace = metadata?.namespace ?? '';
  const name = metadata?.name ?? '';
  return {
    key: `${namespace}/${name}`,
    namespace,
    name,
    uid: metadata?.uid ?? '',
    node: spec?.nodeName ?? '',
    ip: status?.podIP,
    hostNetwork: spec?.hostNetwork === true,
    finished: status?.phase === 'Succeeded' || status?.phase === 'Failed',
    mirror: metadata?.annotations?.['kubernetes.io/config.mirror'] !== undefined,
    controller: metadata?.ownerReferences?.find((owner) => owner.controller === true)?.kind,
    emptyDirs: (spec?.volumes ?? []).filter((volume) => volume.emptyDir !== undefined).map((volume) => volume.name),
    labels: metadata?.labels ?? {},
    createdAt: new Date(metadata?.creationTimestamp ?? 0).toISOString(),
    finalizers: metadata?.finalizers ?? [],
    deletion:
      metadata?.deletionTimestamp === undefined
        ? undefined
        : { at: new Date(metadata.deletionTimestamp).toISOString() },
  };
}
