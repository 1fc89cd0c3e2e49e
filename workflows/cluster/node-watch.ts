import { CancellationScope, isCancellation } from '@temporalio/workflow';
import type { Wait } from '../../model/wait.ts';
import type { ClusterContext } from './context.ts';

/**
 * Waits until the nodes of the cluster differ from the last read, in number or readiness, until a predicate holds, or until
 * the deadline of the wait. The next wait with the same key continues this one.
 */
export async function waitForNodes(
  { migration, nodes }: ClusterContext,
  wait: Wait,
  isOver: () => boolean
): Promise<void> {
  let changed = false;
  const watch = new CancellationScope();
  const known = nodes.facts.map(({ name, ready }) => ({ name, ready }));
  const watched = watch
    .run(() => migration.run('waitForNodeChange', 'wait for node changes', { cluster: migration.cluster, known }))
    .then(
      () => (changed = true),
      (error: unknown) => {
        // People may still decide.
        if (!isCancellation(error)) migration.note(`changes of the nodes are not noticed any more: ${String(error)}`);
      }
    );
  await migration.until(
    () => wait,
    () => changed || isOver()
  );
  // It is still the same wait when the changed nodes do not concern it.
  if (!isOver()) migration.waits.continueLast();
  watch.cancel();
  await watched;
}
