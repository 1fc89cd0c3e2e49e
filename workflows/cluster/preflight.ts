import {
  CancellationScope,
  setCurrentDetails,
  setHandler,
  upsertSearchAttributes,
  workflowInfo,
} from '@temporalio/workflow';
import { preflight, quick } from '../activity-proxies.ts';
import { runChecks } from './checking.ts';
import { preflightQuery } from '../messages.ts';
import { parseMigration } from '../support/parse-input.ts';
import { blockers, preflightMarkdown, type CheckOutcome, type PreflightReport } from '../../model/preflight.ts';
import { operatorFailure } from '../support/operator-failure.ts';
import { searchAttributes } from '../search-attributes.ts';

/**
 * Runs every check that a migration begins with, and nothing else: the cluster is left as it was.
 *
 * @param raw what a migration would be started with; checked before anything else.
 * @returns the outcome of each check. Checks that block are no failure of this workflow.
 * @throws ApplicationFailure of type InvalidInput, UnknownCluster, ClusterUnreachable, MigrationRunning.
 */
export async function clusterPreflight(raw: unknown): Promise<PreflightReport> {
  let outcomes: CheckOutcome[] | undefined;
  setHandler(preflightQuery, () => outcomes, { description: 'Outcomes of the checks' });
  try {
    const input = parseMigration(raw);
    const { cluster } = input;
    upsertSearchAttributes([{ key: searchAttributes.cluster, value: cluster }]);
    const { workflowId, firstExecutionRunId } = workflowInfo();
    const holder = { cluster, workflowId, runId: firstExecutionRunId };
    await preflight.acquireLock.executeWithOptions({ summary: 'lock the cluster' }, [holder]);
    try {
      outcomes = await runChecks(input);
    } finally {
      await CancellationScope.nonCancellable(() =>
        quick.releaseLock.executeWithOptions({ summary: 'unlock the cluster' }, [holder])
      );
    }
    setCurrentDetails(`**${cluster}**\n\n${preflightMarkdown(outcomes)}`);
    return { cluster, mayBegin: blockers(outcomes).length === 0, outcomes };
  } catch (error) {
    throw operatorFailure(error);
  }
}
