import type { HelmValues } from '../../model/helm-values.ts';
import type { ExpectedConfig } from '../../model/resolved-request.ts';
import type { Migration } from './migration.ts';

/** Installs or upgrades Cilium's release, and checks the rendered configuration. */
export async function applyRelease(
  { run, input: { cluster, chart, chartVersion } }: Migration,
  { values, config }: { values: HelmValues; config?: ExpectedConfig },
  summary: string
): Promise<void> {
  await run('applyHelmRelease', summary, { cluster, chart, version: chartVersion, values });
  if (config !== undefined)
    await run('checkCiliumConfig', 'check rendered configuration', { cluster, expected: config });
}
