import type { KubernetesObject } from '@kubernetes/client-node';

/** namespace/name, or the name alone. */
export function keyOf({ metadata }: KubernetesObject): string {
  const { namespace, name = '' } = metadata ?? {};
  return namespace === undefined ? name : `${namespace}/${name}`;
}
