import { run } from '../support/run.ts';
import type { ClusterState } from './state.ts';
import { coexistenceValues, cutoverValues, type HelmValues } from '../../model/helm-values.ts';
import type { MigrationInput } from '../../model/input.ts';
import type { Plan } from '../../model/plan.ts';
import type { DryRunStep } from '../../model/dry-run.ts';
import { operatorFailure } from '../support/operator-failure.ts';

/**
 * Executes the dry run of every phase up to the cutover on the API server: Helm's dry run; cordon, label and evictions
 * with `dryRun`. Waits for no approval and changes nothing.
 */
export async function dryRunMigration(input: MigrationInput, state: ClusterState, plan: Plan): Promise<DryRunStep[]> {
  const steps: DryRunStep[] = [];
  const dryRunRelease = async (step: string, values: HelmValues): Promise<void> => {
    const problems: string[] = [];
    try {
      await run('dryRunRelease', `dry run: ${step}`, { input, values });
    } catch (error) {
      problems.push(errorMessage(operatorFailure(error)));
    }
    steps.push({ step, would: ["apply Cilium's release"], problems });
  };
  state.enter('coexistence');
  await dryRunRelease('coexistence', coexistenceValues(input));
  state.enter('migrate');
  for (const node of plan.waves.flatMap(({ nodes }) => nodes)) {
    steps.push(
      await run('dryRunNode', `dry run: ${node}`, { input, node }).catch((error: unknown) => ({
        step: `migrate ${node}`,
        would: [],
        problems: [errorMessage(operatorFailure(error))],
      }))
    );
  }
  state.enter('cutover');
  await dryRunRelease('cutover', cutoverValues(input));
  return steps;
}

/** Executes the dry run of the cleanup, which may be the only step that an earlier run has left. */
export async function dryRunCleanup({ cluster }: MigrationInput, state: ClusterState): Promise<DryRunStep[]> {
  state.enter('cleanup');
  return [await run('dryRunCleanup', 'dry run: cleanup', { cluster })];
}

function errorMessage(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
