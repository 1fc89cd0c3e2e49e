/** The digest by which an approval names a plan. Pure. */
import { contentDigest } from './content-digest.ts';
import type { MigrationInput } from './input.ts';
import type { Plan } from './plan.ts';
import { releaseSteps } from './planned-release.ts';
import type { Releases } from './resolved-request.ts';

/** Version of what {@link computePlanDigest} covers. */
const digestVersion = 1;

/**
 * Returns the digest of a plan: SHA-256, as lower-case hexadecimal digits. It covers the chart, the rendered manifests and
 * the values of each step, the images, the nodes of each wave in their order, Canal as found, and the whole input.
 * @returns undefined for a plan that an earlier build computed, which recorded no release.
 */
export function computePlanDigest(
  { waves, source, release, images }: Pick<Plan, 'waves' | 'source' | 'release' | 'images'>,
  input: MigrationInput,
  releases: Releases
): string | undefined {
  if (release === undefined) return undefined;
  return contentDigest({
    ...{ version: digestVersion, release, images, source, input },
    values: releaseSteps.map((step) => releases[step].values),
    waves: waves.map(({ nodes }) => nodes),
  });
}

/** Number of digits of a digest in texts for people, and the minimum with which a message names it. */
export const shortDigestLength = 12;

/** Returns the first digits of a digest, for texts. */
export function shortDigest(digest: string): string {
  return digest.slice(0, shortDigestLength);
}
