import type { KubernetesObject } from '@kubernetes/client-node';
import { canonicalJson, contentDigest } from '../../model/content-digest.ts';
import { objectKey } from '../kubernetes/object-key.ts';

/**
 * Returns the SHA-256 of rendered objects, as hexadecimal digits. Their order, and that of their keys, does not count. The
 * values in `data` and `stringData` of Secrets do not count either, but their keys do: charts generate certificates and
 * passwords there, other ones whenever they are rendered.
 */
export function manifestsDigest(objects: readonly KubernetesObject[]): string {
  return contentDigest(objects.map((object) => canonicalJson(withoutSecretValues(object))).sort());
}

/** Returns the objects, `Kind namespace/name`, that differ between two renderings by the rule of {@link manifestsDigest}. */
export function differingObjects(a: readonly KubernetesObject[], b: readonly KubernetesObject[]): string[] {
  const textsOf = (objects: readonly KubernetesObject[]): Map<string, string> =>
    new Map(objects.map((object) => [nameOf(object), canonicalJson(withoutSecretValues(object))]));
  const [first, second] = [textsOf(a), textsOf(b)];
  const names = new Set([...first.keys(), ...second.keys()]);
  return [...names].filter((name) => first.get(name) !== second.get(name)).sort();
}

function nameOf(object: KubernetesObject): string {
  return `${object.kind ?? ''} ${objectKey(object)}`;
}

function withoutSecretValues(object: KubernetesObject): object {
  if (object.kind !== 'Secret' || object.apiVersion !== 'v1') return object;
  const { data, stringData, ...others } = object as KubernetesObject & Partial<Record<'data' | 'stringData', object>>;
  const keysOf = (values: object | undefined): string[] => Object.keys(values ?? {}).sort();
  return { ...others, data: keysOf(data), stringData: keysOf(stringData) };
}
