import { ApplicationFailure, CancellationScope, scheduleLocalActivity, workflowInfo } from '@temporalio/workflow';
import { untrustedProblems } from '../../model/input-limits.ts';
import { parseState } from '../../model/carried-state.ts';
import type { MigrationState } from '../../model/migration-state.ts';
import type { ClusterFacts } from '../../model/cluster-facts.ts';
import type { ResolvedRequest } from '../../model/resolved-request.ts';
import { untilAvailable } from '../activity-options.ts';
import { invalidRequest } from '../support/parse-input.ts';
import type { ClusterContext } from './context.ts';
import { beginAuthenticated } from './authenticated-approvals.ts';
import { setHandlers } from './handlers.ts';
import { runUntilAborted } from './interruption.ts';
import { releaseOnFailure } from './lock.ts';
import { Migration } from './migration.ts';
import { NodeRuns } from './node-runs.ts';
import { Nodes } from './nodes.ts';
import { restoreRemaining } from './remaining.ts';
import { askAboutUnfinishedRollback } from './unfinished-rollback.ts';

/** Default limit of the history: a server's own limits are 10,000 (warning) and 51,200 events. */
const defaultHistoryLimit = 8_000;

/**
 * Begins a run: sets the handlers, resolves the request unless an earlier run has done so, and reads the cluster.
 * @throws ApplicationFailure InvalidInput
 */
export async function begin(request: unknown, carried: unknown): Promise<ClusterContext> {
  const state = parseCarried(carried);
  const migration = new Migration(state, historyLimit());
  // Before the first await: the first workflow task may already contain a message.
  setHandlers(migration);
  refuseMessagesOnceCancelled(migration);
  const nodes = new Nodes(migration);
  const context = { migration, nodes, nodeRuns: new NodeRuns(migration, nodes), ledgerReadMs: 0 };
  migration.keepRequest(request);
  migration.state.request ??= await resolve(request);
  const { status, input } = migration;
  status.cluster = input.cluster;
  beginAuthenticated(migration);
  if (input.dryRun) {
    status.dryRun = true;
    forgetInterruptions(migration, 'a dry run changes nothing', ['rollbackAll']);
    delete status.paused;
  }
  // A message may already have set it.
  if (status.maxConcurrency === 0) status.maxConcurrency = input.waves.maxConcurrency;
  migration.enter(status.phase);
  await inspect(migration, state !== undefined);
  return context;
}

/** A cancelled run restores its nodes and ends: it acts on no other message. */
function refuseMessagesOnceCancelled(migration: Migration): void {
  CancellationScope.current().cancelRequested.catch(() => migration.refuseMessages('the run is cancelled'));
}

async function resolve(request: unknown): Promise<ResolvedRequest> {
  // First of all: what exceeds the limits of an input could not be passed to an activity.
  const problems = untrustedProblems(request);
  if (problems.length > 0) throw invalidRequest(problems);
  const options = { startToCloseTimeout: '10 seconds', summary: 'resolve request' } as const;
  return scheduleLocalActivity<ResolvedRequest>('resolveRequest', [{ request }], options);
}

/** Reads from the cluster how far earlier runs have come. */
async function inspect(migration: Migration, isContinued: boolean): Promise<void> {
  const { run, cluster } = migration;
  const look = (options = {}) => run('inspectCluster', 'inspect cluster', { cluster }, options);
  const facts = isContinued
    ? await releaseOnFailure(migration, () => runUntilAborted(migration, () => look(untilAvailable)))
    : await runUntilAborted(migration, look);
  applyFacts(migration, facts);
  if (!isContinued) restoreRemaining(migration, facts.unfinished);
  if (facts.rollbackBegun === undefined || migration.status.pointOfNoReturn !== undefined) return;
  migration.state.rollbackBegun = facts.rollbackBegun;
  if (!isContinued && !migration.input.dryRun) askAboutUnfinishedRollback(migration, facts.rollbackBegun);
}

/** Derives from the cluster what may still be done: after the point of no return, nothing is interrupted or rolled back. */
function applyFacts(migration: Migration, facts: ClusterFacts): void {
  const { state, status } = migration;
  state.ciliumOwnsCni ||= facts.ciliumOwnsCni;
  if (facts.canal === undefined) delete state.source;
  else state.source = facts.canal;
  const { pointOfNoReturn } = facts;
  if (pointOfNoReturn === undefined && facts.canal !== undefined) return;
  if (pointOfNoReturn === undefined && !facts.leftovers)
    return forgetInterruptions(migration, 'Canal is already removed');
  if (pointOfNoReturn !== undefined) status.approvals.cleanup ??= pointOfNoReturn;
  status.pointOfNoReturn ??= pointOfNoReturn?.at ?? new Date().toISOString();
  forgetInterruptions(migration, `the removal of Canal began at ${status.pointOfNoReturn}`);
}

/** Names of the messages that interrupt a migration, by their decisions. */
const interruptions = { rollbackAll: 'rollback', aborted: 'abort' } as const;

/** Forgets what this run accepted before it knew why it cannot act on it. */
function forgetInterruptions(
  migration: Migration,
  reason: string,
  names: readonly (keyof typeof interruptions)[] = ['rollbackAll', 'aborted']
): void {
  const { decisions } = migration.state;
  for (const name of names) {
    if (decisions[name] !== undefined) migration.note(`${interruptions[name]} was ignored: ${reason}`);
    delete decisions[name];
  }
}

/**
 * Returns the state of the previous run.
 * @throws Error, which fails the workflow task, for a state that another build wrote: only such a build can continue it.
 */
function parseCarried(carried: unknown): MigrationState | undefined {
  if (carried === undefined) return undefined;
  if (workflowInfo().continuedFromExecutionRunId === undefined) {
    throw ApplicationFailure.nonRetryable('the workflow has one argument, the request', 'InvalidInput');
  }
  return parseState(carried);
}

/**
 * Returns the limit of the history: tests set a lower one in the memo.
 */
function historyLimit(): number {
  const limit = workflowInfo().memo?.['historyLimit'];
  return typeof limit === 'number' && limit > 0 ? limit : defaultHistoryLimit;
}
