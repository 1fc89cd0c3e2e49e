import type { MigrationOutcome, MigrationRun } from '../../model/fleet-outcome.ts';

/** Reads the outcome of a migration from Temporal. */
export type ReadOutcome = (run: MigrationRun) => Promise<MigrationOutcome>;

/** Creates the activities of fleets, which need Temporal and no cluster. */
export function createFleetActivities(readOutcome: ReadOutcome) {
  return {
    /** Returns the outcome of each run, in order. One that cannot be read is `unknown`, and the others are returned. */
    readMigrationOutcomes: ({ runs }: { runs: readonly MigrationRun[] }): Promise<MigrationOutcome[]> =>
      Promise.all(
        runs.map((run) =>
          readOutcome(run).catch((error: unknown): MigrationOutcome => {
            return { state: 'unknown', problem: error instanceof Error ? error.message : String(error) };
          })
        )
      ),
  };
}

/** Type of the activities of fleets, for workflows. */
export type FleetActivities = ReturnType<typeof createFleetActivities>;
