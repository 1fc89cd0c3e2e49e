/** What a plan records about Cilium's release. Pure. */

/** Steps that apply Cilium's release, each with its own values. */
export const releaseSteps = ['coexistence', 'cutover', 'final'] as const;

/** One of {@link releaseSteps}. */
export type ReleaseStep = (typeof releaseSteps)[number];

/** What the plan recorded about Cilium's release. Each step that applies the release compares it first. */
export interface PlannedRelease {
  /** Digest of the chart, `sha256:` and 64 hexadecimal digits: of its archive, or of the files of a folder. */
  chartDigest: string;
  /** SHA-256 of the rendered manifests of each step, without the values in Secrets, which a chart may generate. */
  manifests: Record<ReleaseStep, string>;
}
