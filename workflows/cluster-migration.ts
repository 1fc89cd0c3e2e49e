import {
  ApplicationFailure,
  CancellationScope,
  allHandlersFinished,
  condition,
  workflowInfo,
} from '@temporalio/workflow';
import { patient, preflight, quick } from './activity-proxies.ts';
import { cleanUp } from './cleaning-up.ts';
import { ClusterState, TurnedRound, type Carried } from './cluster-state.ts';
import { applyRelease } from './helm-release.ts';
import { MigratingNodes } from './migrating-nodes.ts';
import {
  coexistenceValues,
  conflictingValues,
  cutOverValues,
  expectedConfig,
  expectedCutOverConfig,
  finalValues,
} from './model/helm-values.ts';
import { parseInput, type MigrationInput } from './model/input.ts';
import { makePlan } from './model/plan.ts';
import { objections, type ClusterFacts } from './model/source.ts';
import type { Decision, MigrationReport } from './model/status.ts';
import { operatorFailure } from './operator-failure.ts';
import { rollBackCluster } from './rolling-back.ts';

/**
 * Migrates a cluster from Canal to Cilium.
 *
 * preflight → plan → coexistence (Cilium beside Canal, owning no pod) → migrate (wave by wave, each node its own child
 * workflow) → cut-over (Cilium sole owner) → clean-up (Canal removed: the point of no return). Progress is read from the
 * cluster, so a run that follows a failed, aborted, cancelled or terminated one goes on from where that one stopped.
 *
 * @param raw a MigrationRequest; checked before anything else.
 * @param carried what the run before this one hands over; not for operators.
 * @throws ApplicationFailure of one of the types in model/failure-types.ts.
 */
export async function clusterMigration(raw: unknown, carried?: Carried): Promise<MigrationReport> {
  // Handlers come first, and are set in here: a query or signal may be in the very first task.
  const state = new ClusterState(carried ?? {});
  state.request = raw;
  try {
    const report = await new ClusterMigration(state, parse(raw)).run();
    await condition(allHandlersFinished);
    return report;
  } catch (error) {
    throw operatorFailure(error);
  }
}

/** @throws ApplicationFailure InvalidInput, with one line for each thing that is wrong. */
function parse(raw: unknown): MigrationInput {
  const parsed = parseInput(raw);
  const problems =
    'problems' in parsed
      ? parsed.problems
      : conflictingValues(parsed.input).map((path) => `values.${path}: is set by the migration itself; leave it out`);
  if ('input' in parsed && problems.length === 0) return parsed.input;
  throw ApplicationFailure.nonRetryable(`the input is not a migration:\n${problems.join('\n')}`, 'InvalidInput');
}

class ClusterMigration {
  private readonly state: ClusterState;
  private readonly input: MigrationInput;
  private readonly nodes: MigratingNodes;
  /** Whether Cilium writes the CNI files by itself: the cut-over has begun. */
  private ciliumOwnsCni = false;

  constructor(state: ClusterState, input: MigrationInput) {
    this.state = state;
    this.input = input;
    this.nodes = new MigratingNodes(state, input);
    state.status.cluster = input.cluster;
    if (state.status.timeline.length === 0) state.status.concurrency = input.waves.size;
  }

  async run(): Promise<MigrationReport> {
    const { cluster } = this.input;
    this.state.enter('preflight');
    const facts = await preflight.inspectCluster.executeWithOptions({ summary: 'read the cluster' }, [{ cluster }]);
    // Canal is removed last but for traces, so without it and them nothing is left to do.
    if (facts.canal === undefined && !facts.leftovers) return this.report(false);
    this.ciliumOwnsCni = facts.ciliumOwnsCni;
    if (!facts.ciliumOwnsCni) this.refuse(facts);
    const { workflowId, firstExecutionRunId } = workflowInfo();
    const holder = { cluster, workflowId, runId: firstExecutionRunId };
    await quick.acquireLock.executeWithOptions({ summary: 'lock the cluster' }, [holder]);
    try {
      return await this.locked(facts);
    } finally {
      // Whatever it ends with: the next run is to have the cluster. Not when it is handed over, which keeps its run ID.
      if (!this.state.handingOver) {
        await CancellationScope.nonCancellable(() =>
          quick.releaseLock.executeWithOptions({ summary: 'unlock the cluster' }, [holder])
        );
      }
    }
  }

  private async locked(facts: ClusterFacts): Promise<MigrationReport> {
    const { canal } = facts;
    try {
      // After the cut-over of an earlier run, going back to coexistence would take the nodes' CNI away.
      if (!facts.ciliumOwnsCni && canal !== undefined) {
        await this.nodes.refresh();
        await this.approvePlan(canal);
        this.state.enter('coexistence');
        await this.untilTurnedRound(() => this.coexistence(canal.podCidr));
        this.state.enter('migrate');
        await this.nodes.all();
      }
      // Not again when the run before this one had come past it.
      if (canal !== undefined && this.state.status.phase !== 'clean-up') {
        await this.state.checkpoint(this.input.reminderSeconds);
        this.state.enter('cut-over');
        await this.cutOver();
      }
      this.state.enter('clean-up');
      await this.approveCleanUp();
    } catch (error) {
      if (!(error instanceof TurnedRound)) throw error;
      return this.turnRound();
    }
    const calicoExport = await cleanUp(this.input, this.state);
    return { ...this.report(true), calicoExport };
  }

  /** Ends the run, before anything was changed, when the cluster cannot be migrated with this input. */
  private refuse(facts: ClusterFacts): void {
    const found = objections(facts, this.input);
    const [first] = found;
    if (first === undefined) return;
    throw ApplicationFailure.nonRetryable(found.map(({ message }) => message).join('\n'), first.type);
  }

  private async approvePlan(canal: NonNullable<ClusterFacts['canal']>): Promise<void> {
    this.state.enter('plan');
    for (;;) {
      this.state.plan = makePlan(canal, await this.nodes.refresh(), this.input);
      if (this.input.approval === 'none') return this.state.checkpoint(this.input.reminderSeconds);
      if (await this.answered('plan', 'approval of the plan (query "plan")', 'plan')) return;
    }
  }

  private async approveCleanUp(): Promise<void> {
    if (this.input.cleanUp === 'automatic') return this.state.checkpoint(this.input.reminderSeconds);
    const what = 'approval of the clean-up, which removes Canal: the point of no return';
    while (!(await this.answered('clean-up', what, 'cleanup')));
  }

  /** @returns whether it is approved; false when everything has to be looked at anew. */
  private async answered(open: 'plan' | 'clean-up', what: string, subject: 'plan' | 'cleanup'): Promise<boolean> {
    const { state } = this;
    const { reminderSeconds, approvalDeadlineSeconds } = this.input;
    const approved = (): boolean => state.status.approvals[subject] !== undefined;
    await state.checkpoint(reminderSeconds);
    if (approved()) return state.stopWaiting(true);
    const answers = [
      { does: `approve the ${open}`, message: 'approve', input: { [subject]: true } },
      { does: 'refuse it and end the migration', message: 'reject', input: { [subject]: true } },
    ];
    if (open === 'clean-up') {
      answers.push({ does: 'take every node back to Canal', message: 'rollback', input: { all: true } });
    }
    const timeoutMs = state.leftOf(what, approvalDeadlineSeconds);
    const outcome = await state.wait({ what, answers, reminderSeconds, timeoutMs }, approved);
    if (outcome === 'timeout') state.pauseFor(`the ${what} was not given in ${approvalDeadlineSeconds} s`);
    const { rejected } = state.control;
    if (rejected === undefined) return false;
    const consequence = open === 'plan' ? 'nothing was changed' : 'Cilium owns every pod, and Canal stays installed';
    throw ApplicationFailure.nonRetryable(`the ${open} was rejected by ${who(rejected)}; ${consequence}`, 'Rejected');
  }

  /** Does what takes a while and may be left at any moment. @throws TurnedRound when a human turns it round. */
  private async untilTurnedRound(work: () => Promise<void>): Promise<void> {
    const { state } = this;
    const scope = new CancellationScope();
    const listener = (): void => {
      if (state.turnedRound) scope.cancel();
    };
    state.listeners.push(listener);
    try {
      if (state.turnedRound) throw new TurnedRound();
      await scope.run(work);
    } catch (error) {
      throw state.turnedRound ? new TurnedRound() : error;
    } finally {
      state.listeners.splice(state.listeners.indexOf(listener), 1);
    }
  }

  private async coexistence(sourcePodCidr: string): Promise<void> {
    const { input } = this;
    const { cluster, podCidr, proberImage } = input;
    await quick.applyCniChain.executeWithOptions({ summary: "the CNI file of Cilium's nodes" }, [{ cluster }]);
    await applyRelease(input, coexistenceValues(input), 'install Cilium beside Canal');
    await quick.checkCiliumConfig.executeWithOptions({ summary: 'check what the chart rendered' }, [
      { cluster, expected: expectedConfig(input) },
    ]);
    await patient.waitForAgents.executeWithOptions({ summary: 'agents ready on every node' }, [{ cluster }]);
    await quick.applyNodeConfig.executeWithOptions({ summary: 'CiliumNodeConfig' }, [{ cluster }]);
    await patient.deployHelpers.executeWithOptions({ summary: 'NAT exemption and probers' }, [
      { cluster, sourcePodCidr, targetPodCidr: podCidr, proberImage },
    ]);
  }

  private async cutOver(): Promise<void> {
    const { input } = this;
    const { cluster, podCidr, proberImage } = input;
    await patient.requireAllPodsOnTarget.executeWithOptions({ summary: 'no pod is left on Canal' }, [
      { cluster, targetPodCidr: podCidr },
    ]);
    this.ciliumOwnsCni = true;
    await applyRelease(input, cutOverValues(input), 'Cilium owns the CNI and enforces policy');
    await quick.checkCiliumConfig.executeWithOptions({ summary: 'check what the chart rendered' }, [
      { cluster, expected: expectedCutOverConfig },
    ]);
    for (const { name: node } of await this.nodes.refresh()) {
      await patient.renewAgent.executeWithOptions({ summary: `${node}: agent with the final configuration` }, [
        { cluster, node },
      ]);
      await patient.verifyNode.executeWithOptions({ summary: `${node}: verify all paths` }, [
        { cluster, node, targetPodCidr: podCidr, proberImage, expected: 'target' },
      ]);
    }
    // Only now: an agent that restarts without the node's own configuration and without the final one writes no CNI file.
    await quick.removeNodeConfig.executeWithOptions({ summary: 'remove CiliumNodeConfig' }, [{ cluster }]);
    await applyRelease(input, finalValues(input), 'agents may be updated by their DaemonSet again');
    await patient.waitForAgents.executeWithOptions({ summary: 'agents ready on every node' }, [{ cluster }]);
  }

  /** Ends the run as a human wanted it. */
  private async turnRound(): Promise<MigrationReport> {
    const { state } = this;
    state.stopWaiting(undefined);
    const { aborted, rollBackAll } = state.control;
    if (rollBackAll === undefined) {
      const migrated = state.status.nodes.filter((node) => node.state === 'migrated').length;
      throw ApplicationFailure.nonRetryable(
        `aborted by ${who(aborted)} in the phase ${state.status.phase}; ` +
          `${migrated} of ${state.status.nodes.length} nodes are on Cilium. Start again to go on, and send rollback ` +
          '{"all": true} to that run to go back',
        'Aborted'
      );
    }
    state.enter('rolling-back');
    await rollBackCluster(this.input, state, this.nodes, this.ciliumOwnsCni);
    state.enter('rolled-back');
    return { ...state.status, changed: true };
  }

  private report(changed: boolean): MigrationReport {
    this.state.enter('done');
    return { ...this.state.status, changed };
  }
}

function who({ by, reason }: Decision = { by: 'unnamed', reason: '', at: '' }): string {
  return reason === '' ? by : `${by} (${reason})`;
}
