import type { HelmValues } from '../../model/helm-values.ts';
import type { ExpectedConfig } from '../../model/resolved-request.ts';
import type { ReleaseStep } from '../../model/planned-release.ts';
import type { Migration } from './migration.ts';

/**
 * Installs or upgrades Cilium's release, and checks the rendered configuration.
 * @throws ApplicationFailure PlanChanged when the chart or its manifests differ from the plan; nothing was applied.
 */
export async function applyRelease(migration: Migration, step: ReleaseStep, summary: string): Promise<void> {
  const { run, cluster, releases, state } = migration;
  const { config }: { values: HelmValues; config?: ExpectedConfig } = releases[step];
  const manifests = state.plan?.release?.manifests[step];
  await run('applyHelmRelease', summary, releaseTarget(migration, step, manifests));
  if (config !== undefined)
    await run('checkCiliumConfig', 'check rendered configuration', { cluster, expected: config });
}

/**
 * Returns Cilium's release to the configuration of an earlier step. The chart is compared with the plan, and the manifests
 * are not: they may depend on the version of Kubernetes, which nobody can restore.
 */
export async function returnToRelease(migration: Migration, step: ReleaseStep, summary: string): Promise<void> {
  await migration.run('applyHelmRelease', summary, releaseTarget(migration, step, undefined));
}

function releaseTarget({ input, state, releases }: Migration, step: ReleaseStep, manifests: string | undefined) {
  const { cluster, chart, chartVersion: version, chartDigest } = input;
  const planned = state.plan?.release;
  return {
    ...{ cluster, chart, version, values: releases[step].values },
    ...(chartDigest !== undefined && { chartDigest }),
    ...(planned && {
      planned: { step, chartDigest: planned.chartDigest, ...(manifests !== undefined && { manifests }) },
    }),
  };
}
