import { run } from './run.ts';
import type { HelmValues } from '../../model/helm-values.ts';
import type { MigrationInput } from '../../model/input.ts';

/** Installs or upgrades Cilium's release with these values. */
export async function applyRelease(
  { cluster, chart, chartVersion }: MigrationInput,
  values: HelmValues,
  summary: string
): Promise<void> {
  await run('applyHelmRelease', summary, { cluster, chart, version: chartVersion, values });
}
