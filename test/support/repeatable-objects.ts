import type { NamedObject } from '../../activities/kubernetes/apply.ts';
import { helperNamespace, ownedLabels } from '../../activities/kubernetes/names.ts';

/** Returns an object without a namespace. @param more its other fields. */
export const named = (apiVersion: string, kind: string, name: string, more: object = {}): NamedObject => ({
  apiVersion,
  kind,
  metadata: { name },
  ...more,
});

/** Returns an object in a namespace. @param labels those of this project by default. */
export const inNamespace = (
  where: string,
  object: NamedObject,
  labels: Record<string, string> = ownedLabels
): NamedObject => ({
  ...object,
  metadata: { ...object.metadata, namespace: where, labels },
});

/** Namespace of our helpers. */
export const ownNamespace: NamedObject = {
  apiVersion: 'v1',
  kind: 'Namespace',
  metadata: { name: helperNamespace, labels: ownedLabels },
};

/** Returns a patch of a node: labels, annotations, taints or the cordon. */
export const nodeWith = (name: string, metadata: object, spec: object = {}): NamedObject => ({
  apiVersion: 'v1',
  kind: 'Node',
  metadata: { ...metadata, name },
  ...{ spec },
});

/** Kinds of the objects that a workload consists of. */
export const workloads = [
  ['v1', 'ConfigMap'],
  ['v1', 'ServiceAccount'],
  ['v1', 'Pod'],
  ['apps/v1', 'DaemonSet'],
  ['apps/v1', 'Deployment'],
  ['policy/v1', 'PodDisruptionBudget'],
  ['rbac.authorization.k8s.io/v1', 'ClusterRole'],
  ['rbac.authorization.k8s.io/v1', 'ClusterRoleBinding'],
] as const;
