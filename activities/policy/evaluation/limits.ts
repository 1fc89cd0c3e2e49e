import type { KubernetesObject } from '@kubernetes/client-node';

/**
 * Maximum length of a policy's specification as JSON, in characters: about 4,000 CIDRs. The work for a policy grows with
 * the square of its length, and any tenant can write one as long as the API server accepts.
 */
export const maxPolicyCharacters = 150_000;

/** Number of objects that a failure names. */
const namedObjects = 3;

/** An object of which only the size matters. */
type Sized = KubernetesObject & { spec?: unknown };

/** Returns why a policy is not compared; undefined when it is. */
export function findOversize({ spec }: Sized): string | undefined {
  const characters = sizeOf(spec);
  return characters <= maxPolicyCharacters
    ? undefined
    : `it is not compared: its specification has ${characters} characters, and the limit is ${maxPolicyCharacters}; divide it into several policies`;
}

/** Returns the names of the largest objects with their sizes, as text. */
export function largestObjects(objects: readonly Sized[]): string {
  return objects
    .map(({ kind, metadata, spec }) => ({
      text: [kind, nameOf(metadata)].filter(Boolean).join(' '),
      size: sizeOf(spec),
    }))
    .sort((a, b) => b.size - a.size)
    .slice(0, namedObjects)
    .map(({ text, size }) => `${text} (${size} characters)`)
    .join(', ');
}

function nameOf(metadata: Sized['metadata']): string {
  return [metadata?.namespace, metadata?.name].filter(Boolean).join('/');
}

function sizeOf(spec: unknown): number {
  return JSON.stringify(spec ?? null).length;
}
