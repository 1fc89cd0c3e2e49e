import { CancellationScope } from '@temporalio/workflow';

/**
 * Does several things at the same time. When one fails, the others are cancelled and waited for, so that nothing of them
 * goes on behind the back of whoever deals with the failure. @throws the failure that came first.
 */
export async function allOrCancel(...works: readonly (() => Promise<unknown>)[]): Promise<void> {
  const scope = new CancellationScope();
  const failures: unknown[] = [];
  await scope.run(() =>
    Promise.all(
      works.map((work) =>
        work().catch((error: unknown) => {
          failures.push(error);
          if (failures.length === 1) scope.cancel();
        })
      )
    )
  );
  if (failures.length > 0) throw failures[0];
}
