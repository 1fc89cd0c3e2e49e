import {
  CancellationScope,
  log,
  setCurrentDetails,
  setHandler,
  upsertSearchAttributes,
  workflowInfo,
} from '@temporalio/workflow';
import { failSoon } from '../activity-options.ts';
import { run } from '../support/run.ts';
import { preflightQuery } from '../messages.ts';
import { runChecks } from './checks.ts';
import { parseMigration } from '../support/parse-input.ts';
import { withApiVersion, type Versioned } from '../../model/api-version.ts';
import { blockingOutcomes, type CheckOutcome, type PreflightReport } from '../../model/preflight.ts';
import { preflightMarkdown } from '../../model/markdown/preflight.ts';
import { failureSummary, operatorFailure } from '../support/operator-failure.ts';
import { searchAttributes } from '../search-attributes.ts';

/**
 * Runs all preflight checks of a migration and nothing else: the cluster is unchanged afterwards.
 *
 * @param raw the input of a migration; validated before anything else.
 * @returns the outcome of each check. A check that blocks does not fail this workflow.
 * @throws ApplicationFailure of type InvalidInput, UnknownCluster, ClusterUnreachable, MigrationRunning.
 */
export async function clusterPreflight(raw: unknown): Promise<Versioned<PreflightReport>> {
  let outcomes: CheckOutcome[] | undefined;
  setHandler(preflightQuery, () => outcomes, { description: 'Outcomes of the checks' });
  try {
    const input = parseMigration(raw);
    const { cluster } = input;
    upsertSearchAttributes([{ key: searchAttributes.cluster, value: cluster }]);
    const { workflowId, firstExecutionRunId } = workflowInfo();
    const holder = { cluster, workflowId, runId: firstExecutionRunId };
    await run('acquireLock', 'lock cluster', holder, failSoon);
    try {
      // Nobody waits for a question of these checks: they end when the API server does not answer.
      outcomes = await runChecks((name, summary, of) => run(name, summary, of, failSoon), input);
    } finally {
      // With a limit, so that the run ends although the API server is down: the next run takes over its lock.
      await CancellationScope.nonCancellable(() => run('releaseLock', 'unlock cluster', holder, failSoon)).catch(
        (error: unknown) => log.warn(`the lock of the cluster was not released: ${failureSummary(error).message}`)
      );
    }
    setCurrentDetails(`**${cluster}**\n\n${preflightMarkdown(outcomes)}`);
    return withApiVersion({ cluster, mayStart: blockingOutcomes(outcomes).length === 0, outcomes });
  } catch (error) {
    throw operatorFailure(error);
  }
}
