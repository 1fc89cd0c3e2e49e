/**
 * Workflows of a bundle for tests of fleets: the fleet itself, and a migration of a cluster that a test
 * controls with signals. It runs in the workflows' sandbox.
 */
import {
  ApplicationFailure,
  condition,
  continueAsNew,
  defineQuery,
  defineSignal,
  makeContinueAsNewFunc,
  setHandler,
} from '@temporalio/workflow';
import type { FleetState } from '../../model/fleet-state.ts';
import { fleetReportIntervalMs, type ClusterProgress } from '../../model/fleet-status.ts';
import type { MigrationInput } from '../../model/input.ts';
import type { Phase } from '../../model/status.ts';
import { ParentProgress } from '../../workflows/support/parent-progress.ts';
import { clusterProgressSignal } from '../../workflows/messages.ts';
import type { fleetMigration } from '../../workflows/fleet/fleet-migration.ts';

export { fleetMigration } from '../../workflows/fleet/fleet-migration.ts';

/** Continues as new as a fleet with this state: a fleet accepts a state from a previous run only. */
export async function continuedFleet(state: FleetState): Promise<never> {
  return makeContinueAsNewFunc<typeof fleetMigration>({ workflowType: 'fleetMigration' })(state);
}

/** End of a fake migration. */
export interface FakeEnd {
  phase: Phase;
  /** Type of the failure with which it ends. */
  failure?: string;
}

/** Reports this progress. */
export const reportSignal = defineSignal<[Omit<ClusterProgress, 'cluster'>]>('fakeReport');

/** Continues the fake migration as new. */
export const nextRunSignal = defineSignal('fakeNextRun');

/** Ends the fake migration. */
export const endSignal = defineSignal<[FakeEnd]>('fakeEnd');

/** Input of the fake migration. */
export const inputQuery = defineQuery<MigrationInput>('fakeInput');

/** Prefix of the names of clusters whose fake migration runs through all nodes without signals. */
export const automaticPrefix = 'auto';

/** Number of nodes of such a cluster. */
export const automaticNodes = 100;

/** A fake migration of a cluster. */
export async function clusterMigration(input: MigrationInput): Promise<{ phase: Phase }> {
  const { cluster } = input;
  const progress = new ParentProgress(clusterProgressSignal, undefined, { minIntervalMs: fleetReportIntervalMs });
  let last: ClusterProgress = { cluster, phase: 'preflight', migrated: 0, nodes: 0 };
  let end: FakeEnd | undefined = cluster.startsWith(automaticPrefix) ? { phase: 'done' } : undefined;
  let continues = false;
  const report = (fields: Omit<ClusterProgress, 'cluster'>): void => progress.report((last = { cluster, ...fields }));
  setHandler(inputQuery, () => input);
  setHandler(reportSignal, report);
  setHandler(endSignal, (wanted) => void (end = wanted));
  setHandler(nextRunSignal, () => void (continues = true));
  if (end !== undefined) reportAllNodes(report);
  try {
    await condition(() => end !== undefined || continues);
  } finally {
    if (continues) await progress.flush();
    else await progress.end({ ...last, ended: true });
  }
  if (continues) await continueAsNew<typeof clusterMigration>(input);
  if (end?.failure !== undefined) throw ApplicationFailure.nonRetryable('it failed', end.failure);
  return { phase: end?.phase ?? 'done' };
}

/** Reports two changes for each node: its approval is awaited, and it is migrated. */
function reportAllNodes(report: (fields: Omit<ClusterProgress, 'cluster'>) => void): void {
  for (let migrated = 0; migrated < automaticNodes; migrated++) {
    const fields = { phase: 'migrate' as const, migrated, nodes: automaticNodes };
    report({ ...fields, waitingFor: 'approval' });
    report(fields);
  }
}
