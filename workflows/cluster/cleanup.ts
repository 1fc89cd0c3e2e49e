import { patient, quick, watching } from '../activity-proxies.ts';
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
  const exported = await patient.exportCalico.executeWithOptions({ summary: "export Calico's objects" }, [{ cluster }]);
  await patient.removeCanal.executeWithOptions({ summary: 'remove Canal' }, [{ cluster }]);
  await cleanNodes(cluster, 'canal', state);
  await patient.removeCanalTraces.executeWithOptions({ summary: "remove Calico's definitions and annotations" }, [
    { cluster },
  ]);
  const mark = (stage: LedgerStage, seconds: number) =>
    watching.snapshotLedger.executeWithOptions({ summary: `ledger: ${stage}` }, [{ cluster, stage, seconds }]);
  state.ledger.during = await mark('during', 0);
  state.ledger.after = await mark('after', ledger.afterSeconds);
  await patient.removeHelpers.executeWithOptions({ summary: 'remove helpers and labels' }, [{ cluster }]);
  if (exported.length > 0) state.note(`Calico's objects were exported to ConfigMaps ${exported.join(', ')}`);
  return exported;
}

/**
 * Cleans the nodes: links, rules, sets and files.
 * @throws CleanupIncomplete with the names of what is left over.
 */
export async function cleanNodes(cluster: string, traces: Network, state: ClusterState): Promise<void> {
  const done = state.done[`clean ${traces}`];
  const names = await quick.nodeNames.executeWithOptions({ summary: 'nodes to clean' }, [{ cluster }]);
  const cleaned = new Set(done);
  const remaining = names.filter((name) => !cleaned.has(name));
  for (let from = 0; from < remaining.length; from += maxParallelNodes) {
    await state.handOverWhenLong();
    const batch = remaining.slice(from, from + maxParallelNodes);
    await Promise.all(
      batch.map((node) =>
        patient.cleanHost.executeWithOptions({ summary: `${node}: remove ${traces}'s traces` }, [
          { cluster, node, traces },
        ])
      )
    );
    done.push(...batch);
  }
}
