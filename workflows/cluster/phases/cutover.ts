import type { Phase } from '../../../model/status.ts';
import { waitForApproval } from '../approvals.ts';
import { onPresentNodes } from '../away-nodes.ts';
import { agentWaves } from '../agent-waves.ts';
import type { ClusterContext } from '../context.ts';
import { checkGates, checkRecentGates } from '../gates.ts';
import type { Migration } from '../migration.ts';
import { removeBridge, translatePolicies } from '../policies.ts';
import { maySkip } from '../finish-nodes.ts';
import { noteLeftOut } from '../left-out.ts';
import { applyRelease } from '../release.ts';
import { removeWork } from '../remaining.ts';
import { forgetUnfinishedRollback } from '../unfinished-rollback.ts';
import { recordDuration, waitForWindow } from '../windows.ts';

/** Makes Cilium the sole owner of CNI and policies: one wave of agents at a time, or the steps before and after them. */
export async function cutover(context: ClusterContext): Promise<Phase> {
  const { migration, nodes } = context;
  if (await hasNewNodes(context)) return 'migrate';
  if (!(await prepare(context))) return 'cutover';
  await migration.once('cutover: release', () => startCutover(migration));
  if (migration.status.paused !== undefined) return 'cutover';
  const facts = await nodes.refresh();
  const [wave] = agentWaves(
    facts.filter(({ ready }) => ready),
    migration
  );
  if (wave !== undefined) {
    const startMs = Date.now();
    const away = await onPresentNodes(wave.nodes, (node) => cutOverNode(migration, node));
    if (away.length === 0) recordDuration(migration, 'agentWave', startMs);
    for (const node of wave.nodes.filter((name) => !away.includes(name))) {
      migration.state.doneNodes.cutover.push(node);
      removeWork(migration, node, ['restart-agent']);
    }
    return 'cutover';
  }
  const left = agentWaves(facts, migration).flatMap((remaining) => remaining.nodes);
  // A node may be skipped here. Every pod of it is on Cilium already, and an agent that starts later reads the final
  // configuration. Canal is only removed when no pod of it is on Canal, and its agent is restarted before it is cleaned.
  if (left.length > 0 && !(await maySkip(context, left, 'restart-agent'))) return 'cutover';
  await migration.once('cutover: final release', () => finishCutover(migration));
  await migration.once('cutover: gates', () => checkGates(migration, 'the cutover', migration.phaseStartMs));
  migration.state.unjudgedSinceMs = Date.now();
  return 'cleanup';
}

/**
 * Reads the nodes again when the cutover had to wait before its start: it is prepared again then.
 * @returns true when nodes that are not migrated have joined meanwhile.
 */
async function hasNewNodes({ migration, nodes }: ClusterContext): Promise<boolean> {
  const { state, status } = migration;
  if (state.ciliumOwnsCni) return false;
  const isFirst = !state.doneSteps.includes('cutover: begun');
  state.doneSteps = state.doneSteps.filter((step) => !preparation.includes(step));
  if (isFirst) {
    state.doneSteps.push('cutover: begun');
    return false;
  }
  await nodes.refresh();
  return status.nodes.some(({ state }) => state !== 'migrated' && state !== 'removed');
}

/** Checks before the cutover, whose results may be outdated after a wait. */
const preparation: readonly string[] = ['cutover: pods', 'cutover: policies'];

/** Duration of a wait for a maintenance window after which the checks are repeated, in ms. */
const longWaitMs = 60_000;

/**
 * Checks, before anything is changed, that the cutover may start.
 * @returns false when the caller must look again first.
 */
async function prepare({ migration, nodes }: ClusterContext): Promise<boolean> {
  const { cluster, podCidr } = migration.input;
  await migration.once('cutover: pods', () =>
    migration.run('requireAllPodsOnTarget', 'check that no pod is on Canal', { cluster, targetPodCidr: podCidr })
  );
  await migration.once('cutover: policies', () => translatePolicies(migration));
  if (migration.status.paused !== undefined) return false;
  // The approval, like a rejection, is about a cutover that has not begun.
  const hasBegun = migration.state.ciliumOwnsCni;
  if (!hasBegun && needsApproval(migration) && !(await waitForApproval(migration, 'cutover'))) return false;
  const startMs = Date.now();
  const name = hasBegun ? 'the next agents of the cutover' : 'the cutover';
  // A cutover that has begun continues wave by wave, also in the next window.
  const waves = hasBegun ? 1 : agentWaves(nodes.facts, migration).length;
  if (!(await waitForWindow(migration, { name, step: { kind: 'agents', waves } }))) return false;
  if (hasBegun) return true;
  const isOutdated = Date.now() - startMs > longWaitMs;
  return !isOutdated && checkRecentGates(migration, 'the cutover');
}

/** True for the modes in which every change of nodes is approved. */
function needsApproval({ input }: Migration): boolean {
  return input.approval === 'every-node' || input.approval === 'every-wave';
}

async function startCutover(migration: Migration): Promise<void> {
  const { run, cluster } = migration;
  await forgetUnfinishedRollback(migration);
  migration.state.ciliumOwnsCni = true;
  // From here on, no new pod starts on Canal.
  await run('keepCanalOffNewNodes', 'keep Canal off new nodes', { cluster });
  await removeBridge(migration);
  await applyRelease(migration, 'cutover', 'make Cilium the owner of CNI and policies');
}

async function cutOverNode({ run, input }: Migration, node: string): Promise<void> {
  const { cluster, podCidr: targetPodCidr, proberImage } = input;
  await run('restartOutdatedAgent', `${node}: restart agent with final configuration`, { cluster, node });
  const expected = 'cilium' as const;
  await run('verifyNode', `${node}: verify all paths`, { cluster, node, targetPodCidr, proberImage, expected });
}

/**
 * Only after the agents' restart: an agent with neither the node's configuration nor the final one writes no CNI file.
 */
async function finishCutover(migration: Migration): Promise<void> {
  const { run, cluster } = migration;
  await run('removeNodeConfig', 'remove CiliumNodeConfig', { cluster });
  await applyRelease(migration, 'final', 'restore update strategy of agents');
  noteLeftOut(migration, 'agents', await run('waitForAgents', 'wait for agents', { cluster }));
  await run('restartOutdatedOperator', "restart Cilium's operator with its final configuration", { cluster });
}
