import { ApplicationFailure } from '@temporalio/workflow';
import { findingsText } from '../../../model/removal-findings.ts';
import type { Phase } from '../../../model/status.ts';
import { summarizeList } from '../../../model/summarize.ts';
import type { DisturbingStep } from '../../../model/step-times.ts';
import { allWaves, type Wave } from '../../../model/waves.ts';
import { agentWaves } from '../agent-waves.ts';
import { onPresentNodes, waitForAwayNodes } from '../away-nodes.ts';
import { cleanNodes } from '../clean-nodes.ts';
import type { ClusterContext } from '../context.ts';
import { removeHelpers } from '../finish-nodes.ts';
import type { Migration } from '../migration.ts';
import { bridgeIdentities, removeBridge } from '../policies.ts';
import { returnToRelease } from '../release.ts';
import { dropWork, recordRemaining, remainingOf } from '../remaining.ts';
import { waitForRollbackWindow } from '../rollback-windows.ts';
import { recordDuration } from '../windows.ts';

/** Maximum number of exported objects that a note names. */
const maxNamedObjects = 10;

/**
 * Rolls back the whole cluster: first the cutover, then each node to Canal, in reverse order and in waves of the usual
 * size; finally removes Cilium from the cluster and from the nodes.
 * @throws ApplicationFailure of the type with which a node's rollback failed; Cilium stays next to Canal then.
 */
export async function rollBackAll(context: ClusterContext): Promise<Phase> {
  const { migration, nodes } = context;
  const { run, cluster } = migration;
  const facts = await nodes.refresh();
  const remaining = facts.filter(({ flipped, cordonedByUs }) => flipped || cordonedByUs);
  const { maxConcurrency } = migration.status;
  const waves = allWaves(remaining, { maxConcurrency, proven: true }).reverse();
  if (!(await mayStart(context, waves))) return 'rolling-back';
  await migration.once('rollback: record', () => recordRollback(migration));
  dropWork(migration, ['restart-agent', 'clean-canal'], 'it returns to Canal');
  await recordRemaining(migration);
  // First of all: a node that joined after the cutover has no Canal yet, to which its pods could return.
  await migration.once('rollback: Canal', () => run('letCanalOnAllNodes', 'let Canal run on all nodes', { cluster }));
  if (migration.state.ciliumOwnsCni) await migration.once('rollback: cutover', () => rollBackCutover(context));
  if (remaining.length > 0) await migration.once('rollback: identities', () => requireBridge(context));
  const away: string[] = [];
  for (const wave of waves) {
    const left = migration.isLong ? undefined : await rollBackWave(context, wave.nodes);
    if (left === undefined) return 'rolling-back';
    away.push(...left);
  }
  if (await hasAwayNodes(context, away)) return 'rolling-back';
  if (!(await mayRemoveCilium(migration)) || !(await rollBackUnlabelled(context))) return 'rolling-back';
  await migration.once('rollback: bridge', () => removeBridge(migration));
  await run('removeNodeConfig', 'remove CiliumNodeConfig', { cluster });
  await migration.once('rollback: export', () => exportCilium(migration));
  await migration.once('rollback: Cilium', () => run('uninstallCilium', 'uninstall Cilium', { cluster }));
  if (!(await cleanNodes(context, 'cilium'))) return 'rolling-back';
  await run('removeCiliumTraces', "remove Cilium's CRDs", { cluster });
  await removeHelpers(migration);
  // Our namespace, and the record in it, stays with nodes that remain to be cleaned; the rollback itself is complete.
  if (remainingOf(migration).length > 0)
    await run('removeRollbackRecord', 'remove the record of the rollback', { cluster });
  return 'rolled-back';
}

/**
 * Rolls back the nodes that have pods on Cilium without our label, such as one that joined after the cutover.
 * @returns true when no pod uses Cilium any more; false when the caller must look again first.
 * @throws ApplicationFailure VerificationFailed, naming pods that still use Cilium after the rollback of their node.
 */
async function rollBackUnlabelled(context: ClusterContext): Promise<boolean> {
  const { migration } = context;
  const { run, cluster, input, status } = migration;
  if (migration.state.doneSteps.includes('rollback: bridge')) return true;
  const target = { cluster, targetPodCidr: input.podCidr };
  const verification = await run('verifyBeforeUninstall', 'verify that nothing uses Cilium', target);
  if (verification.findings.length === 0) return true;
  const left = verification.nodes.filter((name) => {
    const state = migration.node(name)?.state;
    return state !== 'rolled-back' && state !== 'removed';
  });
  if (left.length === 0) {
    const problem = `Cilium cannot be removed yet: ${findingsText(verification)}`;
    throw ApplicationFailure.nonRetryable(problem, 'VerificationFailed');
  }
  await migration.once('rollback: identities', () => requireBridge(context));
  await hasAwayNodes(context, (await rollBackWave(context, left.slice(0, status.maxConcurrency))) ?? []);
  return false;
}

/**
 * Waits for nodes that are not Ready and still have to be rolled back. They cannot be skipped: without Cilium, their pods
 * would have no network when they are back, and their CNI file would name a plugin without an agent. A node that does not
 * return has to be removed from the cluster.
 * @returns true when the caller must look again; false when all of the nodes have left the cluster.
 * @throws ApplicationFailure of a node that failed although it is Ready.
 */
async function hasAwayNodes(context: ClusterContext, names: readonly string[]): Promise<boolean> {
  if (names.length === 0) return false;
  const { migration, nodes } = context;
  const left = (await nodes.refresh()).filter(({ name }) => names.includes(name));
  const ready = left.find((node) => node.ready)?.name;
  const failure = ready === undefined ? undefined : migration.node(ready)?.failure;
  if (failure !== undefined) throw ApplicationFailure.nonRetryable(failure.message, failure.type);
  const awaited = left.map(({ name }) => name);
  if (awaited.length > 0) await waitForAwayNodes(context, awaited, 'roll it back to Canal');
  return awaited.length > 0;
}

/** Waits until the first part of the rollback may start. */
async function mayStart({ migration, nodes }: ClusterContext, [first]: readonly Wave[]): Promise<boolean> {
  const { state } = migration;
  const isCutOver = state.ciliumOwnsCni && !state.doneSteps.includes('rollback: cutover');
  if (state.doneSteps.includes('rollback: record') && !isCutOver) return true;
  const name = 'the rollback of all nodes';
  if (!isCutOver) {
    const step: DisturbingStep = first === undefined ? { kind: 'removal' } : { kind: 'rollback', nodes: first.nodes };
    return waitForRollbackWindow(migration, { name, step });
  }
  const waves = agentWaves(nodes.facts, migration, []).length;
  return waitForRollbackWindow(migration, { name, step: { kind: 'agents', waves } });
}

/** Waits until Cilium may be removed. It has to be before the verification that nothing uses Cilium. */
async function mayRemoveCilium(migration: Migration): Promise<boolean> {
  if (migration.state.doneSteps.includes('rollback: Cilium')) return true;
  return waitForRollbackWindow(migration, { name: 'the removal of Cilium', step: { kind: 'removal' } });
}

/** Records the rollback in the cluster, until it is complete. */
async function recordRollback(migration: Migration): Promise<void> {
  const { run, cluster, state } = migration;
  const { by, reason, at } = state.decisions.rollbackAll ?? { by: 'unknown', reason: '', at: new Date().toISOString() };
  const rollback = { by, reason, at };
  await run('recordRollback', 'record that the rollback of all nodes begins', { cluster, rollback });
}

/** Exports the users' objects of Cilium: they are removed together with their definitions. */
async function exportCilium(migration: Migration): Promise<void> {
  const { run, cluster } = migration;
  const { configMaps, total, objects } = await run('exportCilium', "export users' objects of Cilium", { cluster });
  if (total === 0) return;
  const names = summarizeList(objects, maxNamedObjects);
  migration.note(`${total} objects of Cilium were exported to ConfigMaps ${configMaps.join(', ')}: ${names}`);
}

async function rollBackCutover({ migration, nodes }: ClusterContext): Promise<void> {
  const { run, cluster } = migration;
  // The nodes' own configuration comes first: without it, a restarted agent writes no CNI file for its pods.
  await run('applyNodeConfig', 'apply CiliumNodeConfig', { cluster });
  await returnToRelease(migration, 'coexistence', 'return to Cilium next to Canal');
  migration.state.doneNodes.cutover.length = 0;
  for (const wave of agentWaves(nodes.facts, migration)) {
    const startMs = Date.now();
    const restart = (node: string) =>
      run('restartOutdatedAgent', `${node}: restart agent with coexistence configuration`, { cluster, node });
    // An agent on a node that is switched off is restarted when the node itself is rolled back.
    await onPresentNodes(wave.nodes, restart);
    recordDuration(migration, 'agentWave', startMs);
  }
}

/**
 * Deploys the identity bridge, which is needed before a pod returns to Canal, unless it is known to run: it was deployed
 * before the phase migrate, and the cutover removes it. An earlier run may have started the cutover, or its rollback.
 */
async function requireBridge({ migration }: ClusterContext): Promise<void> {
  const { state, status } = migration;
  const isDeployed = !state.ciliumOwnsCni && status.timeline.some(({ phase }) => phase === 'migrate');
  if (!isDeployed) await bridgeIdentities(migration);
}

/**
 * Rolls back nodes in parallel, in a maintenance window.
 * @returns the names of the nodes that are not Ready, or that have left the cluster; undefined when the nodes were not rolled
 *   back, and the caller must look again first.
 * @throws ApplicationFailure of the first node that failed for another reason, once all of the wave have ended.
 */
async function rollBackWave(
  { migration, nodeRuns }: ClusterContext,
  names: readonly string[]
): Promise<string[] | undefined> {
  const disturbance = {
    name: `the rollback of ${summarizeList(names)}`,
    step: { kind: 'rollback' as const, nodes: names },
  };
  if (!(await waitForRollbackWindow(migration, disturbance))) return undefined;
  const waveNodes = names.flatMap((name) => migration.node(name) ?? []);
  const startMs = Date.now();
  const results = await Promise.all(waveNodes.map((node) => nodeRuns.rollBack(node)));
  // By the result of the rollback, not by the node's status: a node whose migration failed may be rolled back
  // successfully.
  const failed = waveNodes.filter((_, index) => results[index] === false);
  const failure = failed.find((node) => node.failure?.type !== 'NodeNotReady')?.failure;
  if (failure !== undefined) throw ApplicationFailure.nonRetryable(failure.message, failure.type);
  recordDuration(migration, 'rollbackWave', startMs);
  return failed.map(({ name }) => name);
}
