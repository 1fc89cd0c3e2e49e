import type { Network } from '../../model/network.ts';
import { cleaning, isSkipped, workText, type RemainingWork } from '../../model/remaining-nodes.ts';
import { onPresentNodes, waitForAwayNodes } from './away-nodes.ts';
import type { ClusterContext } from './context.ts';
import { noteLeftOut } from './left-out.ts';
import type { Migration } from './migration.ts';
import { addRemaining, forgetAbsent, recordRemaining, remainingOf, removeWork } from './remaining.ts';

/** Maximum number of nodes finished in parallel. */
const maxParallelNodes = 10;

/**
 * Adds work that cannot be done now on nodes that are away, and waits until one of them changes or a person skips it.
 * @returns true when a person has skipped every one of them; false when the caller must look again first.
 */
export async function maySkip(
  context: ClusterContext,
  names: readonly string[],
  work: RemainingWork
): Promise<boolean> {
  const { migration } = context;
  addRemaining(migration, names, [work]);
  await recordRemaining(migration);
  const awaited = names.filter((name) => !isSkipped(migration.status.remaining, name));
  if (awaited.length === 0) return true;
  await waitForAwayNodes(context, awaited, workText([work]), awaited);
  return false;
}

/**
 * Finishes the remaining nodes that are back. Those that are not remain, and those that have left the cluster are forgotten.
 * @param work the only work that may be done now.
 * @default all of it
 * @throws ApplicationFailure of a step that fails although its node is Ready.
 */
export async function finishRemaining(migration: Migration, work?: readonly RemainingWork[]): Promise<void> {
  const { run, cluster } = migration;
  if (remainingOf(migration).length === 0) return recordRemaining(migration);
  forgetAbsent(migration, await run('nodeNames', 'list nodes', { cluster }));
  const names = remainingOf(migration).map(({ node }) => node);
  for (let from = 0; from < names.length; from += maxParallelNodes) {
    await onPresentNodes(names.slice(from, from + maxParallelNodes), (node) => finishNode(migration, node, work));
  }
  await recordRemaining(migration);
}

/** Does what remains on a node. */
export async function finishNode(migration: Migration, name: string, work?: readonly RemainingWork[]): Promise<void> {
  const { run, cluster } = migration;
  const left = remainingOf(migration).find(({ node }) => node === name)?.work ?? [];
  for (const step of left.filter((candidate) => work?.includes(candidate) !== false)) {
    if (step === 'restart-agent')
      await run('restartOutdatedAgent', `${name}: restart agent with final configuration`, { cluster, node: name });
    else await cleanHost(migration, name, step === 'clean-canal' ? 'canal' : 'cilium');
    removeWork(migration, name, [step]);
  }
}

/** Removes what a network has left on a node, and does everything else that remains there. */
export async function cleanNode(migration: Migration, name: string, traces: Network): Promise<void> {
  const isRemaining = remainingOf(migration).some(({ node }) => node === name);
  if (!isRemaining) return cleanHost(migration, name, traces);
  addRemaining(migration, [name], [cleaning(traces)]);
  await finishNode(migration, name);
}

function cleanHost({ run, cluster, input }: Migration, node: string, traces: Network): Promise<void> {
  const { coexistenceImage } = input;
  return run('cleanHost', `${node}: remove leftovers of ${traces}`, { cluster, node, traces, coexistenceImage });
}

/**
 * Removes our helpers, after the remaining nodes that are back are finished. With nodes that remain, records that nothing
 * else does, and our namespace stays with that record.
 */
export async function removeHelpers(migration: Migration): Promise<void> {
  const { run, cluster } = migration;
  await finishRemaining(migration);
  noteLeftOut(migration, 'removal of helpers', await run('removeHelpers', 'remove helpers and labels', { cluster }));
  if (remainingOf(migration).length > 0) await recordRemaining(migration, true);
}
