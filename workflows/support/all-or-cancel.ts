import { CancellationScope } from '@temporalio/workflow';

/**
 * Runs several operations in parallel. When one fails, cancels the others and waits for them, so that none still runs
 * while the caller handles the failure.
 * @throws the first failure.
 */
export async function allOrCancel(...tasks: readonly (() => Promise<unknown>)[]): Promise<void> {
  const scope = new CancellationScope();
  const failures: unknown[] = [];
  await scope.run(() =>
    Promise.all(
      tasks.map((task) =>
        task().catch((error: unknown) => {
          failures.push(error);
          if (failures.length === 1) scope.cancel();
        })
      )
    )
  );
  if (failures.length > 0) throw failures[0];
}
