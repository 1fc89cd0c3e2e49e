import { CancellationScope, TemporalFailure } from '@temporalio/workflow';

/**
 * Runs several operations in parallel. When one fails, cancels the others and waits for them, so that none still runs
 * while the caller handles the failure.
 * @throws the first failure; and a bug at once, because it fails the workflow task.
 */
export async function allOrCancel(...tasks: readonly (() => Promise<unknown>)[]): Promise<void> {
  const scope = new CancellationScope();
  const failures: unknown[] = [];
  await scope.run(() =>
    Promise.all(
      tasks.map((task) =>
        task().catch((error: unknown) => {
          if (!(error instanceof TemporalFailure)) throw error;
          failures.push(error);
          if (failures.length === 1) scope.cancel();
        })
      )
    )
  );
  if (failures.length > 0) throw failures[0];
}
