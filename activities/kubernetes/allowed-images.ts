import type { KubernetesObject, V1PodSpec } from '@kubernetes/client-node';
import { failure } from '../support/failures.ts';

/**
 * Returns true when an entry of the list allows the image. An entry is a registry or a repository, which allows
 * everything below it, or a whole reference with a tag or a digest, which allows that image only. A digest identifies an
 * image, so an image with one needs no other tag than that of the entry, and may have any when the entry has none.
 */
export function isImageAllowed(allowed: readonly string[], image: string): boolean {
  const [name = '', digest, ...more] = image.split('@');
  const { repository, tag } = splitTag(name);
  // Such a name is not valid, but it must not seem to be below an allowed one.
  if (more.length > 0 || (digest !== undefined && !/^sha256:[0-9a-f]{64}$/.test(digest))) return false;
  if (repository.split('/').some((part) => part === '' || part === '.' || part === '..')) return false;
  return allowed.some((entry) => {
    const [entryName = '', entryDigest] = entry.split('@');
    if (entryDigest !== undefined && entryDigest !== digest) return false;
    // A text without "/" is a registry or an organization: "host:5000" has a port and no tag.
    const isWhole = entryName.includes('/');
    const entryParts = isWhole ? splitTag(entryName) : { repository: entryName, tag: undefined };
    if (entryParts.tag !== undefined && entryParts.tag !== tag) return false;
    if (isWhole && entryParts.repository === repository) return true;
    const isReference = entryParts.tag !== undefined || entryDigest !== undefined;
    return !isReference && repository.startsWith(`${entryParts.repository}/`);
  });
}

/** Splits a reference without its digest. A colon before the last "/" belongs to the port of the registry. */
function splitTag(name: string): { repository: string; tag: string | undefined } {
  const [, repository = name, tag] = /^(.*?)(?::([^/:]*))?$/.exec(name) ?? [];
  return { repository, tag };
}

/**
 * Checks the images of an object's pods, also those of the template of a DaemonSet or a Deployment.
 * @param allowed list of the worker's file; undefined: every image.
 * @throws InvalidInput when an image is not allowed; nothing was changed.
 */
export function requireAllowedImages(allowed: readonly string[] | undefined, object: KubernetesObject): void {
  if (allowed === undefined) return;
  const refused = podImages(object).filter((image) => !isImageAllowed(allowed, image));
  if (refused.length === 0) return;
  const name = `${object.kind ?? 'object'} ${object.metadata?.name ?? ''}`;
  const list = allowed.join(', ') || 'no image';
  throw failure(
    'InvalidInput',
    `${name}: the worker may not start ${refused.join(', ')}; its file allows ${list}. ` +
      'Use an allowed image in proberImage, coexistenceImage and the values of Cilium, or add it to "images" in that file'
  );
}

/** Returns the images of an object's pods, also of jobs and of the template of a DaemonSet or a Deployment. */
export function podImages(object: KubernetesObject): string[] {
  const { spec } = object as { spec?: V1PodSpec & PodTemplateOwner & { jobTemplate?: { spec?: PodTemplateOwner } } };
  return [spec, spec?.template?.spec, spec?.jobTemplate?.spec?.template?.spec].flatMap((pod) =>
    [...(pod?.containers ?? []), ...(pod?.initContainers ?? [])].flatMap(({ image }) => image ?? [])
  );
}

interface PodTemplateOwner {
  template?: { spec?: V1PodSpec };
}
