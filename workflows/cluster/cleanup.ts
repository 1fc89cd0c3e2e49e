import { run } from '../support/run.ts';
import type { ClusterState } from './state.ts';
import type { MigrationInput } from '../../model/input.ts';
import type { LedgerStage } from '../../model/ledger.ts';
import type { Network } from '../../model/network.ts';

/** Maximum number of nodes cleaned in parallel. */
const maxParallelNodes = 10;

/**
 * Removes Canal and the objects of this service, and verifies each removal. An interrupted cleanup can be repeated and
 * continues from there. Our namespace marks an unfinished cleanup, so it is removed last.
 * @returns ConfigMaps with the export of Calico's objects.
 */
export async function runCleanup({ cluster, ledger }: MigrationInput, state: ClusterState): Promise<string[]> {
  const exported = await run('exportCalico', "export Calico's objects", { cluster });
  await run('removeCanal', 'remove Canal', { cluster });
  await cleanNodes(cluster, 'canal', state);
  await run('removeCanalTraces', "remove Calico's CRDs and node annotations", { cluster });
  const mark = (stage: LedgerStage, seconds: number) =>
    run('snapshotLedger', `record stage ${stage} of the ledger`, { cluster, stage, seconds });
  state.ledger.during = await mark('during', 0);
  state.ledger.after = await mark('after', ledger.afterSeconds);
  await run('removeHelpers', 'remove helpers and labels', { cluster });
  if (exported.length > 0) state.note(`Calico's objects were exported to ConfigMaps ${exported.join(', ')}`);
  return exported;
}

/**
 * Cleans the nodes: links, rules, sets and files.
 * @throws CleanupIncomplete with the names of what is left over.
 */
export async function cleanNodes(cluster: string, traces: Network, state: ClusterState): Promise<void> {
  const done = state.done[`clean ${traces}`];
  const names = await run('nodeNames', 'list nodes', { cluster });
  const cleaned = new Set(done);
  const remaining = names.filter((name) => !cleaned.has(name));
  for (let from = 0; from < remaining.length; from += maxParallelNodes) {
    await state.continueAsNewIfLong();
    const batch = remaining.slice(from, from + maxParallelNodes);
    await Promise.all(
      batch.map((node) => run('cleanHost', `${node}: remove leftovers of ${traces}`, { cluster, node, traces }))
    );
    done.push(...batch);
  }
}
