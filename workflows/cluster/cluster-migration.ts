import {
  ApplicationFailure,
  CancellationScope,
  allHandlersFinished,
  condition,
  workflowInfo,
} from '@temporalio/workflow';
import { untilAvailable } from '../activity-options.ts';
import { run } from '../support/run.ts';
import { agentWaves } from './agent-waves.ts';
import { runChecks } from './preflight.ts';
import { runCleanup } from './cleanup.ts';
import { ClusterState, Interrupted, type CarriedState } from './state.ts';
import { applyRelease } from '../support/helm-release.ts';
import { bridgeIdentities, removeBridge, translatePolicies } from './policies.ts';
import { MigratingNodes } from './node-waves.ts';
import { parseMigration } from '../support/parse-input.ts';
import { withPolicies } from '../../model/gates.ts';
import {
  coexistenceValues,
  cutoverValues,
  expectedConfig,
  expectedCutoverConfig,
  finalValues,
} from '../../model/helm-values.ts';
import type { MigrationInput } from '../../model/input.ts';
import { isMigrated } from '../../model/nodes.ts';
import { buildPlan, type Plan } from '../../model/plan.ts';
import { blockingOutcomes, preflightFailure } from '../../model/preflight.ts';
import type { ClusterFacts } from '../../model/cluster-facts.ts';
import { withApiVersion, type Versioned } from '../../model/api-version.ts';
import type { Decision, MigrationReport } from '../../model/status.ts';
import { operatorFailure } from '../support/operator-failure.ts';
import { dryRunMigration, dryRunCleanup } from './dry-run.ts';
import { rollBackCluster } from './rollback.ts';
import { allOrCancel } from '../support/all-or-cancel.ts';

/**
 * Migrates a cluster from Canal to Cilium.
 *
 * preflight → plan → coexistence (Cilium next to Canal, owning no pod) → migrate (wave by wave, each node its own child
 * workflow) → cutover (Cilium sole owner) → cleanup (Canal removed: the point of no return). Progress is read from
 * the cluster, so a run that follows a failed, aborted, cancelled or terminated one continues from there.
 *
 * @param raw a MigrationRequest; validated before anything else.
 * @param carried state of the previous run after continue-as-new; not for operators.
 * @throws ApplicationFailure of one of the types in model/failure-types.ts.
 */
export async function clusterMigration(raw: unknown, carried?: CarriedState): Promise<Versioned<MigrationReport>> {
  // The constructor sets the handlers, before anything else: the first workflow task may already contain a query or
  // signal.
  const state = new ClusterState(carried ?? {});
  state.request = raw;
  try {
    const report = await new ClusterMigration(state, parseMigration(raw)).run();
    await condition(allHandlersFinished);
    return withApiVersion(report);
  } catch (error) {
    throw operatorFailure(error);
  }
}

class ClusterMigration {
  private readonly state: ClusterState;
  private readonly input: MigrationInput;
  private readonly nodes: MigratingNodes;
  /** True once the cutover has begun: Cilium writes the CNI files. */
  private ciliumOwnsCni = false;

  constructor(state: ClusterState, input: MigrationInput) {
    this.state = state;
    this.input = input;
    this.nodes = new MigratingNodes(state, input);
    state.status.cluster = input.cluster;
    // A message in the first workflow task may already have set it.
    if (state.status.maxConcurrency === 0) state.status.maxConcurrency = input.waves.maxConcurrency;
  }

  async run(): Promise<MigrationReport> {
    const { cluster } = this.input;
    const retries = this.state.status.timeline.length > 0 ? untilAvailable : {};
    this.state.enter('preflight');
    const facts = await run('inspectCluster', 'inspect cluster', { cluster }, retries);
    // Only leftovers are removed after Canal, so without both nothing is left to do.
    if (facts.canal === undefined && !facts.leftovers) return this.report(false);
    this.ciliumOwnsCni = facts.ciliumOwnsCni;
    const { workflowId, firstExecutionRunId } = workflowInfo();
    const holder = { cluster, workflowId, runId: firstExecutionRunId };
    await run('acquireLock', 'lock cluster', holder);
    try {
      return await this.locked(facts);
    } finally {
      // The next run needs the lock, also after a failure. Continue-as-new keeps it: the first run's ID is unchanged.
      if (!this.state.isContinuingAsNew) {
        await CancellationScope.nonCancellable(() => run('releaseLock', 'unlock cluster', holder));
      }
    }
  }

  private async locked(facts: ClusterFacts): Promise<MigrationReport> {
    const { canal } = facts;
    if (this.input.dryRun) return this.runDryRun(facts);
    try {
      // After the cutover of an earlier run, a return to coexistence would remove the nodes' CNI.
      if (!facts.ciliumOwnsCni && canal !== undefined) {
        await this.runInterruptible(() => this.check());
        await this.nodes.refresh();
        await this.approvePlan(canal);
        this.state.enter('coexistence');
        await this.runInterruptible(() => this.coexistence(canal.podCidr));
        this.state.enter('migrate');
        await this.nodes.migrateAll();
      }
      // Skipped when the previous run was already past the cutover.
      if (canal !== undefined && this.state.status.phase !== 'cleanup') {
        await this.state.checkpoint(this.input.reminderSeconds);
        this.state.enter('cutover');
        await this.runCutover();
      }
      this.state.enter('cleanup');
      await this.approveCleanup();
    } catch (error) {
      if (!(error instanceof Interrupted)) throw error;
      return this.handleInterruption();
    }
    const calicoExport = await runCleanup(this.input, this.state);
    return { ...this.report(true), calicoExport };
  }

  /** Runs the checks and fails the run, before any change, when one blocks. Skipped after continue-as-new. */
  private async check(): Promise<void> {
    const { state, input } = this;
    state.preflight ??= await runChecks(input);
    state.show();
    const failed = preflightFailure(state.preflight);
    if (failed === undefined) return;
    const details = [blockingOutcomes(state.preflight)];
    throw ApplicationFailure.create({ ...failed, nonRetryable: true, details });
  }

  private async makePlan(canal: NonNullable<ClusterFacts['canal']>): Promise<Plan> {
    const { state, input } = this;
    const facts = await this.nodes.refresh();
    const nodes = facts.filter((node) => !isMigrated(node)).map(({ name }) => name);
    const details = await run('planDetails', 'compute plan', { input, nodes });
    state.plan = buildPlan(canal, facts, input, coexistenceValues(input), details, state.preflight ?? []);
    state.show();
    return state.plan;
  }

  /** Executes a dry run: the API server validates every remaining step, and nothing is changed. */
  private async runDryRun({ canal, ciliumOwnsCni }: ClusterFacts): Promise<MigrationReport> {
    const { state, input } = this;
    if (canal === undefined || ciliumOwnsCni) {
      const dryRunSteps = await dryRunCleanup(input, state);
      return { ...this.report(false), dryRunSteps };
    }
    await this.check();
    state.enter('plan');
    const plan = await this.makePlan(canal);
    const dryRunSteps = [...(await dryRunMigration(input, state, plan)), ...(await dryRunCleanup(input, state))];
    return { ...this.report(false), plan, dryRunSteps };
  }

  private async approvePlan(canal: NonNullable<ClusterFacts['canal']>): Promise<void> {
    this.state.enter('plan');
    for (;;) {
      await this.runInterruptible(() => this.makePlan(canal));
      if (this.input.approval === 'none') return this.state.checkpoint(this.input.reminderSeconds);
      if (await this.waitForApproval('plan', 'approval of the plan (query "plan")')) return;
    }
  }

  private async approveCleanup(): Promise<void> {
    if (this.input.cleanup === 'automatic') {
      await this.state.checkpoint(this.input.reminderSeconds);
      // From now on, messages that cannot stop the removal of Canal are refused, as after an operator's approval.
      const reason = 'cleanup is "automatic" in the input';
      this.state.status.approvals.cleanup ??= { by: 'cni-live-migration', reason, at: new Date().toISOString() };
      return;
    }
    const what = 'approval of the cleanup, which removes Canal: the point of no return';
    while (!(await this.waitForApproval('cleanup', what)));
  }

  /**
   * Waits for an approval.
   * @returns true when approved; false when the cluster must be read again first.
   */
  private async waitForApproval(subject: 'plan' | 'cleanup', what: string): Promise<boolean> {
    const { state } = this;
    const { reminderSeconds, approvalDeadlineSeconds } = this.input;
    const approved = (): boolean => state.status.approvals[subject] !== undefined;
    await state.checkpoint(reminderSeconds);
    if (approved()) return state.stopWaiting(true);
    const answers = [
      { does: `approve the ${subject}`, message: 'approve', input: { [subject]: true } },
      { does: `reject the ${subject} and end the migration`, message: 'reject', input: { [subject]: true } },
    ];
    if (subject === 'cleanup') {
      answers.push({ does: 'roll back all nodes to Canal', message: 'rollback', input: { all: true } });
    }
    const timeoutMs = state.remainingMs(what, approvalDeadlineSeconds);
    const outcome = await state.wait({ what, answers, reminderSeconds, timeoutMs }, approved);
    if (outcome === 'timeout') state.pauseFor(`no ${what} within ${approvalDeadlineSeconds} s`);
    const { rejected } = state.control;
    if (rejected === undefined) return false;
    const consequence = subject === 'plan' ? 'nothing was changed' : 'Cilium owns every pod, and Canal stays installed';
    throw ApplicationFailure.nonRetryable(
      `the ${subject} was rejected by ${attribution(rejected)}; ${consequence}`,
      'Rejected'
    );
  }

  /**
   * Runs long work that may be cancelled at any time.
   * @throws Interrupted when an operator aborts or rolls back.
   */
  private async runInterruptible(work: () => Promise<unknown>): Promise<void> {
    const { state } = this;
    const scope = new CancellationScope();
    const listener = (): void => {
      if (state.isInterrupted) scope.cancel();
    };
    state.listeners.push(listener);
    try {
      if (state.isInterrupted) throw new Interrupted();
      await scope.run(work);
    } catch (error) {
      throw state.isInterrupted ? new Interrupted() : error;
    } finally {
      state.listeners.splice(state.listeners.indexOf(listener), 1);
    }
  }

  private async coexistence(sourcePodCidr: string): Promise<void> {
    const { input } = this;
    const { cluster, podCidr, proberImage, coexistenceImage, ledger } = input;
    await run('deployProbers', 'deploy probers', { cluster, targetPodCidr: podCidr, proberImage, ledger });
    this.state.ledger.before = await run('snapshotLedger', 'record baseline', {
      cluster,
      stage: 'before',
      seconds: ledger.baselineSeconds,
    });
    const sinceMs = Date.now();
    await run('applyCniChain', 'create CNI file for Cilium', { cluster });
    await allOrCancel(
      async () => {
        await applyRelease(input, coexistenceValues(input), 'install Cilium next to Canal');
        await run('checkCiliumConfig', 'check rendered configuration', { cluster, expected: expectedConfig(input) });
        await run('waitForAgents', 'wait for agents', { cluster });
        await run('applyNodeConfig', 'apply CiliumNodeConfig', { cluster });
      },
      () =>
        run('deployNatExemption', 'deploy NAT exemption', {
          cluster,
          sourcePodCidr,
          targetPodCidr: podCidr,
          coexistenceImage,
        })
    );
    await bridgeIdentities(input);
    if (input.policyMode !== 'off') await translatePolicies(input, this.state);
    await this.checkGates('the installation of Cilium', sinceMs);
  }

  /** Evaluates the gates for the whole cluster. A breach pauses the migration. */
  private async checkGates(what: string, sinceMs: number): Promise<void> {
    const { state, input } = this;
    const { cluster, policyMode } = input;
    const gates = withPolicies(input.gates, policyMode === 'enforce');
    try {
      await run('checkGates', `check gates after ${what}`, { cluster, gates, sinceMs });
    } catch (error) {
      const failed = operatorFailure(error);
      const breached = failed instanceof ApplicationFailure && failed.type === 'GateBreached';
      if (!breached || input.onFailure === 'stop') throw error;
      state.note(`after ${what}: ${failed.message}`);
      state.pauseFor(`after ${what}: ${failed.message}`);
      await state.checkpoint(input.reminderSeconds);
    }
  }

  private async runCutover(): Promise<void> {
    const { input } = this;
    const { cluster, podCidr } = input;
    // After continue-as-new, the gate covers the time since the start of the phase in the first run.
    const sinceMs = Date.parse(this.state.status.timeline.at(-1)?.startedAt ?? '');
    await run('requireAllPodsOnTarget', 'check that no pod is on Canal', { cluster, targetPodCidr: podCidr });
    await translatePolicies(input, this.state);
    await this.state.checkpoint(input.reminderSeconds);
    this.ciliumOwnsCni = true;
    await removeBridge(input);
    await applyRelease(input, cutoverValues(input), 'make Cilium the owner of CNI and policies');
    await run('checkCiliumConfig', 'check rendered configuration', { cluster, expected: expectedCutoverConfig(input) });
    for (const wave of agentWaves(await this.nodes.refresh(), input, this.state)) {
      await this.state.checkpoint(input.reminderSeconds);
      await allOrCancel(...wave.nodes.map((node) => () => this.cutOverNode(node)));
      this.state.done.cutover.push(...wave.nodes);
    }
    // Only after the agents' restart: an agent with neither the node's configuration nor the final one writes no CNI
    // file.
    await run('removeNodeConfig', 'remove CiliumNodeConfig', { cluster });
    await applyRelease(input, finalValues(input), 'restore update strategy of agents');
    await run('waitForAgents', 'wait for agents', { cluster });
    await this.checkGates('the cutover', sinceMs);
  }

  private async cutOverNode(node: string): Promise<void> {
    const { cluster, podCidr, proberImage } = this.input;
    await run('restartOutdatedAgent', `${node}: restart agent with final configuration`, { cluster, node });
    await run('verifyNode', `${node}: verify all paths`, {
      cluster,
      node,
      targetPodCidr: podCidr,
      proberImage,
      expected: 'cilium',
    });
  }

  /** Ends the run as an operator requested, with an abort or a rollback. */
  private async handleInterruption(): Promise<MigrationReport> {
    const { state } = this;
    state.stopWaiting(undefined);
    const { aborted, rollbackAll } = state.control;
    if (rollbackAll === undefined) {
      const migrated = state.status.nodes.filter((node) => node.state === 'migrated').length;
      throw ApplicationFailure.nonRetryable(
        `aborted by ${attribution(aborted)} in the phase ${state.status.phase}; ` +
          `${migrated} of ${state.status.nodes.length} nodes are on Cilium. To continue, start the migration again; to ` +
          'return to Canal, also send rollback {"all": true} to that run',
        'Aborted'
      );
    }
    state.enter('rolling-back');
    await rollBackCluster(this.input, state, this.nodes, this.ciliumOwnsCni);
    state.enter('rolled-back');
    return { ...state.status, changed: true, ledger: state.ledger };
  }

  private report(changed: boolean): MigrationReport {
    const { state } = this;
    state.enter('done');
    return {
      ...state.status,
      changed,
      ledger: state.ledger,
      ...(state.preflight && { preflight: state.preflight }),
      ...(state.policies && { policies: state.policies }),
    };
  }
}

function attribution({ by, reason }: Decision = { by: 'unnamed', reason: '', at: '' }): string {
  return reason === '' ? by : `${by} (${reason})`;
}
