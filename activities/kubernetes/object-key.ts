import type { KubernetesObject } from '@kubernetes/client-node';

/** Returns namespace/name, or the name alone for an object without a namespace. */
export function objectKey({ metadata }: KubernetesObject): string {
  const { namespace, name = '' } = metadata ?? {};
  return namespace === undefined ? name : `${namespace}/${name}`;
}
