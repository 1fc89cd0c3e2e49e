import type { HelmValues } from '../../model/helm-values.ts';
import type { ReleaseStep } from '../../model/planned-release.ts';
import { failure } from '../support/failures.ts';
import type { ChartSource, LocalChart } from './chart-source.ts';
import type { HelmSettings } from './command.ts';
import { manifestsDigest } from './manifest-digest.ts';
import { renderValues } from './render.ts';

/** What the approved plan recorded for one step that applies the release. */
export interface PlannedStep {
  step: ReleaseStep;
  /** Digest of the chart, `sha256:` and 64 hexadecimal digits. */
  chartDigest: string;
  /**
   * SHA-256 of the rendered manifests.
   * @default not compared: in a rollback, which must be possible after an upgrade of Kubernetes as well
   */
  manifests?: string;
}

/** Ways to continue after a difference. */
const advice =
  'nothing was applied. Restore what the plan was computed with, and resume; or abort, and start the migration again: it ' +
  'computes a new plan, which needs an approval of its own';

/**
 * Checks that a step applies what was planned: the same chart, which renders the same manifests for this version of
 * Kubernetes.
 * @throws PlanChanged with both digests, when it does not.
 */
export async function requirePlanned(
  helm: HelmSettings,
  { chart, values, planned }: ChartSource & { values: HelmValues; planned: PlannedStep },
  { path, digest }: LocalChart,
  kubernetesVersion: string
): Promise<void> {
  const { step, chartDigest, manifests } = planned;
  const where = `the step "${step}" of Cilium's release differs from the approved plan`;
  if (digest !== chartDigest)
    throw failure(
      'PlanChanged',
      `${where}: the chart ${chart} has the digest ${digest} instead of ${chartDigest}; ${advice}`
    );
  if (manifests === undefined) return;
  const { objects } = await renderValues(helm, path, values, kubernetesVersion);
  const rendered = manifestsDigest(objects);
  if (rendered === manifests) return;
  throw failure(
    'PlanChanged',
    `${where}: for Kubernetes ${kubernetesVersion}, the chart renders manifests with the digest ${rendered} instead of ` +
      `${manifests}; ${advice}`
  );
}
