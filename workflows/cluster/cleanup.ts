import { patient, quick, watching } from '../activity-proxies.ts';
import type { ClusterState } from './state.ts';
import type { MigrationInput } from '../../model/input.ts';
import type { LedgerStage } from '../../model/ledger.ts';

/** So many nodes are cleaned at a time. */
const nodesAtOnce = 10;

/**
 * Removes Canal and everything of ours, each verified to be gone; begun again, it goes on where it was cut short. What
 * tells that it is not over, our namespace, goes last.
 * @returns the ConfigMaps that Calico's objects were exported to.
 */
export async function cleanUp({ cluster, ledger }: MigrationInput, state: ClusterState): Promise<string[]> {
  const exported = await patient.exportCalico.executeWithOptions({ summary: "export Calico's objects" }, [{ cluster }]);
  await patient.removeCanal.executeWithOptions({ summary: 'remove Canal' }, [{ cluster }]);
  await onEveryNode(cluster, 'canal', state);
  await patient.removeCanalTraces.executeWithOptions({ summary: "remove Calico's definitions and annotations" }, [
    { cluster },
  ]);
  const mark = (stage: LedgerStage, seconds: number) =>
    watching.markLedger.executeWithOptions({ summary: `ledger: ${stage}` }, [{ cluster, stage, seconds }]);
  state.ledger.during = await mark('during', 0);
  state.ledger.after = await mark('after', ledger.afterSeconds);
  await patient.removeHelpers.executeWithOptions({ summary: 'remove helpers and labels' }, [{ cluster }]);
  if (exported.length > 0) state.note(`Calico's objects were exported to ConfigMaps ${exported.join(', ')}`);
  return exported;
}

/** Cleans the nodes themselves: links, rules, sets and files. @throws CleanUpIncomplete naming what is left. */
export async function onEveryNode(cluster: string, traces: 'canal' | 'cilium', state: ClusterState): Promise<void> {
  const done = state.done[`clean ${traces}`];
  const names = await quick.nodeNames.executeWithOptions({ summary: 'nodes to clean' }, [{ cluster }]);
  const cleaned = new Set(done);
  const left = names.filter((name) => !cleaned.has(name));
  for (let from = 0; from < left.length; from += nodesAtOnce) {
    await state.handOverWhenLong();
    const some = left.slice(from, from + nodesAtOnce);
    await Promise.all(
      some.map((node) =>
        patient.cleanHost.executeWithOptions({ summary: `${node}: remove ${traces}'s traces` }, [
          { cluster, node, traces },
        ])
      )
    );
    done.push(...some);
  }
}
