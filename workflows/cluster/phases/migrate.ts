import { ApplicationFailure, isCancellation } from '@temporalio/workflow';
import { actionKey, approvalOf, nextAction, type NextAction, type NumberedWave } from '../../../model/next-action.ts';
import { forgetRollback } from '../../../model/message-context.ts';
import { hashText } from '../../../model/node-digest.ts';
import { transition } from '../../../model/node-transitions.ts';
import { estimate } from '../../../model/plan.ts';
import type { Answer } from '../../../model/decision.ts';
import type { NodeStatus, Phase } from '../../../model/status.ts';
import { summarizeList } from '../../../model/summarize.ts';
import { allWaves } from '../../../model/waves.ts';
import { hasClaim, takeApprovals, type ClaimableStep } from '../authenticated-approvals.ts';
import type { ClusterContext } from '../context.ts';
import { checkRecentGates } from '../gates.ts';
import type { Migration } from '../migration.ts';
import { waitForNodes } from '../node-watch.ts';
import { translatePolicies } from '../policies.ts';
import { waitForWindow, type Disturbance } from '../windows.ts';

/** Maximum age of the ledger in the status of a large cluster, in ms. */
const ledgerEveryMs = 300_000;

/** Maximum number of nodes named in a wait. */
const maxNamed = 10;

/**
 * Executes the next action: a wave, the rollback of a node, or a wait.
 * @throws ApplicationFailure of a node's failure with `onFailure: stop`.
 */
export async function migrate(context: ClusterContext): Promise<Phase> {
  const { migration, nodes } = context;
  // A paused migration only executes rollbacks, which read their node. A read that failed must not be repeated at once.
  if (migration.status.paused === undefined) await nodes.refresh();
  const action = findNextAction(context);
  switch (action.kind) {
    case 'finished':
      return 'cutover';
    case 'rollback':
      await rollBackNode(context, action);
      break;
    case 'start':
      await startWave(context, action.wave);
      break;
    case 'decide':
      if (migration.input.onFailure === 'stop') requireNoFailure(action.nodes);
      await waitForDecision(context, action.nodes);
      break;
    default:
      await waitForNextAction(context, action);
  }
  return 'migrate';
}

/** @throws ApplicationFailure of the first node that failed. */
function requireNoFailure(nodes: readonly NodeStatus[]): void {
  const failure = nodes.find((node) => node.failure !== undefined)?.failure;
  if (failure !== undefined) throw ApplicationFailure.nonRetryable(failure.message, failure.type);
}

function findNextAction({ migration, nodes }: ClusterContext): NextAction {
  const { status, input, state } = migration;
  const { decisions, soakUntilMs } = state;
  return nextAction({ status, decisions, input, facts: nodes.facts, soakUntilMs, nowMs: Date.now() });
}

/** Waits until another action is the next one. */
async function waitForNextAction(
  context: ClusterContext,
  action: Extract<NextAction, { kind: 'resume' | 'soak' | 'approve' }>
): Promise<void> {
  const { migration } = context;
  const key = actionKey(action);
  const isOver = (): boolean => actionKey(findNextAction(context)) !== key;
  if (action.kind === 'resume') return migration.waitUntilResumed(isOver);
  if (action.kind === 'soak') {
    const subject = `wave ${migration.status.waves}`;
    const wait = { kind: 'soak' as const, key: subject, subject, answers: [], deadlineMs: action.untilMs };
    await migration.until(() => wait, isOver);
    return;
  }
  await waitForApproval(context, action.wave, isOver);
}

async function waitForApproval(context: ClusterContext, wave: NumberedWave, isOver: () => boolean): Promise<void> {
  const { migration } = context;
  const { approvalDeadlineSeconds } = migration.input;
  propose(context, wave);
  const id = { kind: 'approval' as const, key: `wave ${wave.number}` };
  const deadlineMs = migration.waits.deadlineMs(id, approvalDeadlineSeconds);
  const describe = () => {
    const next = findNextAction(context);
    const missing = next.kind === 'approve' ? next.missing : [];
    return { ...id, ...approvalSubject(wave, missing, migration.input.approval === 'every-node'), deadlineMs };
  };
  const claimable = claimableNodes(migration, wave);
  const end = await migration.until(describe, () => isOver() || hasClaim(migration, claimable));
  if (hasClaim(migration, claimable)) {
    await takeApprovals(migration, claimable);
    migration.waits.continueLast();
  }
  if (end === 'deadline')
    migration.pauseFor(`no approval of ${describe().subject} within ${approvalDeadlineSeconds} s`);
}

/** Returns the nodes of a wave whose approvals may be claimed, each on its own or with the wave. */
function claimableNodes({ state, status }: Migration, wave: NumberedWave): ClaimableStep[] {
  const { decisions } = state;
  const { nodes } = decisions.approvals;
  const missing = wave.nodes.filter((node) => approvalOf(node, wave.number, { status, decisions }) === undefined);
  return missing.map((node) => ({
    step: `node/${node}` as const,
    subjects: [`node/${node}`, `wave/${wave.number}`],
    accept: (approval) => (nodes[node] = approval),
  }));
}

function approvalSubject(
  wave: NumberedWave,
  missing: readonly string[],
  perNode: boolean
): { subject: string; answers: Answer[] } {
  const names = missing.join(', ');
  if (perNode) {
    const answers = missing.map((node) => ({ does: `approve node ${node}`, message: 'approve', input: { node } }));
    return { subject: `node ${names}`, answers };
  }
  const answers = [{ does: `approve wave ${wave.number}`, message: 'approve', input: { wave: wave.number } }];
  return { subject: `wave ${wave.number} (${names})`, answers };
}

/** Shows which nodes are in the next wave. */
function propose({ migration }: ClusterContext, wave: NumberedWave): void {
  const names = new Set(wave.nodes);
  for (const node of migration.status.nodes) {
    const inWave = names.has(node.name);
    transition(node, inWave ? { kind: 'proposed', wave: wave.number } : { kind: 'withdrawn' });
  }
  migration.publish();
}

/** Runs a wave, unless no window is open, or policies have changed in a way that an operator must review. */
async function startWave(context: ClusterContext, wave: NumberedWave): Promise<void> {
  const { migration } = context;
  propose(context, wave);
  const key = actionKey({ kind: 'start', wave });
  const disturbance = { name: `wave ${wave.number}`, step: { kind: 'wave' as const, nodes: wave.nodes } };
  if (!(await waitForWindow(migration, disturbance, () => actionKey(findNextAction(context)) !== key))) return;
  await restoreHelpers(migration);
  if (migration.input.policyMode !== 'off') await translatePolicies(migration);
  if (!(await checkRecentGates(migration, `wave ${wave.number}`))) return;
  // Messages during the comparison of the policies may have changed what is next.
  if (actionKey(findNextAction(context)) === key) await runWave(context, wave);
}

/** Recreates helpers that were deleted: nodes are not migrated without them. */
async function restoreHelpers(migration: Migration): Promise<void> {
  const { run, input, state } = migration;
  if (state.source === undefined) throw new Error('a wave needs Canal');
  const target = { input, sourcePodCidr: state.source.podCidr };
  const restored = await run('restoreHelpers', 'recreate deleted helpers', target);
  if (restored.length > 0) migration.note(`recreated because they were deleted: ${summarizeList(restored)}`);
}

async function runWave(context: ClusterContext, { nodes: names, number }: NumberedWave): Promise<void> {
  const { migration, nodeRuns } = context;
  const { status, state, input } = migration;
  status.waves = number;
  const waveNodes = names.flatMap((name) => migration.node(name) ?? []);
  const failures = await settle(
    waveNodes.map((node) =>
      nodeRuns.migrate(node, approvalOf(node.name, number, { status, decisions: state.decisions }))
    )
  );
  await readLedger(context);
  estimateRemaining(context);
  state.unjudgedSinceMs = Date.now();
  const { soakSeconds } = input.waves;
  const hasFailed = failures.some((error) => error !== undefined);
  state.soakUntilMs = !hasFailed && soakSeconds > 0 ? Date.now() + soakSeconds * 1_000 : 0;
}

/**
 * Waits until every node of a wave has ended, also when one of them is cancelled.
 * @throws the cancellation; and a bug at once, because it fails the workflow task.
 */
async function settle<T>(runs: readonly Promise<T>[]): Promise<T[]> {
  const cancellations: unknown[] = [];
  const results = await Promise.all(
    runs.map((run) =>
      run.catch((error: unknown) => {
        if (!isCancellation(error)) throw error;
        cancellations.push(error);
        return undefined;
      })
    )
  );
  if (cancellations.length > 0) throw cancellations[0];
  return results as T[];
}

/** Updates the ledger in the status. The ledger of a large cluster is long, so it is not read after every wave. */
async function readLedger(context: ClusterContext): Promise<void> {
  const { migration, nodes } = context;
  const now = Date.now();
  if (nodes.isLarge && now - context.ledgerReadMs < ledgerEveryMs) return;
  context.ledgerReadMs = now;
  const rows = await migration.runSkippable('readLedger', 'read ledger', { cluster: migration.cluster });
  if (rows !== undefined) migration.state.ledger.during = rows;
}

/** Estimates the remaining duration from the finished nodes. */
function estimateRemaining({ migration, nodes }: ClusterContext): void {
  const { state, status, input } = migration;
  if (state.plan === undefined) return;
  const pending = new Set(status.nodes.filter((node) => node.state === 'pending').map(({ name }) => name));
  const left = nodes.facts.filter(({ name }) => pending.has(name));
  const rules = { maxConcurrency: status.maxConcurrency, canaryNode: input.waves.canaryNode, proven: true };
  const done = status.nodes.filter((node) => node.state === 'migrated');
  state.plan.estimate = estimate(allWaves(left, rules), state.plan.drains, input, done);
}

type NodeRollback = Extract<NextAction, { kind: 'rollback' }>;

/** Rolls back a node that an operator named: one that works only in a maintenance window. */
async function rollBackNode(context: ClusterContext, action: NodeRollback): Promise<void> {
  const { migration, nodeRuns } = context;
  const node = migration.node(action.node);
  if (node === undefined || node.state === 'removed' || node.state === 'rolled-back') {
    forgetRollback(migration.state.decisions, action.node);
    return;
  }
  if (action.keepsWindows === true && !(await waitForRollbackWindow(context, action))) return;
  await nodeRuns.rollBack(node);
}

/** @returns false when the caller must look again first. */
function waitForRollbackWindow(context: ClusterContext, action: NodeRollback): Promise<boolean> {
  const { migration } = context;
  const { node } = action;
  const disturbance: Disturbance = {
    name: `the rollback of ${node}`,
    step: { kind: 'rollback', nodes: [node] },
    answers: [
      { does: `roll back node ${node} at once`, message: 'rollback', input: { node, outsideWindows: true } },
      ...migration.interruptions,
    ],
  };
  const key = actionKey(action);
  return waitForWindow(migration, disturbance, () => actionKey(findNextAction(context)) !== key);
}

/**
 * Waits for an operator or for a change of the nodes: they failed, are sidelined or not Ready, so that no node can
 * make progress without a decision.
 */
async function waitForDecision(context: ClusterContext, waiting: readonly NodeStatus[]): Promise<void> {
  const key = actionKey({ kind: 'decide', nodes: [...waiting] });
  // The status shows the key of a wait. It must not grow with the number of nodes.
  const wait = { kind: 'decision' as const, key: `nodes ${hashText(key)}`, ...decisionSubject(waiting) };
  await waitForNodes(context, wait, () => actionKey(findNextAction(context)) !== key);
}

function decisionSubject(waiting: readonly NodeStatus[]): { subject: string; answers: Answer[] } {
  const names = waiting.map(({ name, state, failure }) => `${name} (${failure?.type ?? state})`);
  const named = waiting.slice(0, maxNamed);
  const answers: Answer[] = named.map(({ name }) => ({
    does: `retry node ${name}`,
    message: 'retry',
    input: { node: name },
  }));
  for (const { name, failure } of named) {
    if (failure === undefined) continue;
    answers.push({ does: `skip node ${name}`, message: 'skip', input: { node: name } });
    answers.push({ does: `roll back node ${name} to Canal`, message: 'rollback', input: { node: name } });
  }
  answers.push({ does: 'abort the migration', message: 'abort', input: {} });
  return { subject: summarizeList(names, maxNamed), answers };
}
