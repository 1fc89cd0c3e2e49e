import {
  ApplicationFailure,
  getExternalWorkflowHandle,
  setCurrentDetails,
  setHandler,
  workflowInfo,
} from '@temporalio/workflow';
import { once, patient, quick } from '../activity-proxies.ts';
import { forcePodSignal, progressSignal } from '../messages.ts';
import { withPolicies } from '../../model/gates.ts';
import type { MigrationInput } from '../../model/input.ts';
import type { Network } from '../../model/network.ts';
import { blockerText, type Blocker, type NodeProgress } from '../../model/status.ts';
import { drainInRounds } from './drain-rounds.ts';
import { operatorFailure } from '../support/operator-failure.ts';

/** Input of {@link nodeMigration} and {@link nodeRollback}. */
export interface NodeWorkflowInput {
  node: string;
  migration: MigrationInput;
  /** Pods that may be deleted when an eviction does not move them, `namespace/name`. */
  forcedPods: string[];
}

/** Steps that the migration and the rollback of a node share. */
export class NodeSteps {
  readonly node: string;
  readonly migration: MigrationInput;
  private forcedPods: readonly string[];
  private version = 0;
  private endRound: () => void = () => undefined;
  private step = '';
  private blockers: Blocker[] = [];
  private waitingFor: string | undefined;
  /** Last progress reported to the cluster's workflow. */
  private lastReported: string;
  /** Signals are sent one after the other, so that the last one is the latest. */
  private reporting: Promise<void> = Promise.resolve();

  constructor({ node, migration, forcedPods }: NodeWorkflowInput) {
    this.node = node;
    this.migration = migration;
    this.forcedPods = forcedPods;
    this.lastReported = JSON.stringify({ node, blockers: [] } satisfies NodeProgress);
    setHandler(forcePodSignal, (pod) => {
      this.forcedPods = [...this.forcedPods, pod];
      this.version++;
      this.endRound();
    });
  }

  get target(): { cluster: string; node: string } {
    return { cluster: this.migration.cluster, node: this.node };
  }

  /** Returns activity options with a summary for the Web UI. */
  summary(text: string): { summary: string } {
    return { summary: `${this.node}: ${text}` };
  }

  /** Shows the current step. */
  begin(step: string): void {
    this.step = step;
    this.show();
  }

  /** Reports the action of an operator that the cluster's workflow must show; undefined when it is done. */
  setWaitingFor(action: string | undefined): void {
    this.waitingFor = action;
    this.report(this.blockers);
  }

  async cordon(): Promise<void> {
    this.begin('cordon');
    await quick.cordonNode.executeWithOptions(this.summary('cordon'), [this.target]);
  }

  async uncordon(): Promise<void> {
    this.begin('uncordon');
    await quick.uncordonNode.executeWithOptions(this.summary('uncordon'), [this.target]);
  }

  /**
   * Evicts the pods that a drain moves, and waits until they are gone.
   * @param onChecked called when every pod was checked once and may be evicted.
   */
  async drain(to: Network, onChecked?: () => void): Promise<void> {
    await this.drainNode('drain', to, false, onChecked);
  }

  /** Evicts all remaining pods on the other network, including those of DaemonSets. */
  async recycle(to: Network): Promise<void> {
    await this.drainNode('recycle remaining pods', to, true);
  }

  /** Verifies the network from a new pod on the node. */
  async verify(expected: Network, step: string): Promise<void> {
    this.begin(step);
    const { podCidr, proberImage } = this.migration;
    await patient.verifyNode.executeWithOptions(this.summary(step), [
      { ...this.target, targetPodCidr: podCidr, proberImage, expected },
    ]);
  }

  /** Evaluates the gates for the node's paths since `sinceMs` (Unix ms). */
  async gate(sinceMs: number): Promise<void> {
    this.begin('gates');
    const { cluster, policyMode } = this.migration;
    const gates = withPolicies(this.migration.gates, policyMode === 'enforce');
    await patient.checkGates.executeWithOptions(this.summary('gates'), [
      { cluster, gates, sinceMs, nodes: [this.node] },
    ]);
  }

  /**
   * Collects diagnostics of a failure.
   * @returns the failure, with the location of the diagnostics.
   */
  async withDiagnostics(error: unknown): Promise<unknown> {
    this.begin('diagnostics');
    const failure = operatorFailure(error, `node ${this.node}`);
    if (!(failure instanceof ApplicationFailure)) return failure;
    const { message } = failure;
    const bundle = await once.collectDiagnostics
      .executeWithOptions(this.summary('diagnostics'), [{ ...this.target, reason: message }])
      // The original failure matters more than missing diagnostics.
      .catch(() => undefined);
    if (bundle === undefined) return failure;
    const [namespace = '', name = ''] = bundle.split('/');
    return ApplicationFailure.create({
      message: `${message}\nwhat the node was like: ConfigMap ${name} in ${namespace}`,
      nonRetryable: true,
      ...(failure.type != null && { type: failure.type }),
      cause: failure,
    });
  }

  private async drainNode(step: string, to: Network, daemonSets: boolean, onChecked?: () => void): Promise<void> {
    this.begin(step);
    const { drain, podCidr } = this.migration;
    await drainInRounds({
      operation: step,
      drain,
      runRound: (roundSeconds) =>
        patient.drainNode.executeWithOptions(this.summary(step), [
          {
            ...this.target,
            to,
            daemonSets,
            options: drain,
            targetPodCidr: podCidr,
            forcedPods: [...this.forcedPods],
            roundSeconds,
          },
        ]),
      report: (blockers) => this.report(blockers),
      ...(onChecked && { onChecked }),
      version: () => this.version,
      onRoundStart: (endRound) => (this.endRound = endRound),
    });
  }

  private report(blockers: Blocker[]): void {
    this.blockers = blockers.slice(0, maxBlockers);
    this.show();
    const { parent } = workflowInfo();
    const progress: NodeProgress = { node: this.node, blockers: this.blockers };
    if (this.waitingFor !== undefined) progress.waitingFor = this.waitingFor;
    const text = JSON.stringify(progress);
    // Unchanged progress is not reported again: a drain that waits for days adds nothing to the history of the
    // cluster's workflow.
    if (parent === undefined || text === this.lastReported) return;
    this.lastReported = text;
    const handle = getExternalWorkflowHandle(parent.workflowId);
    // Errors are ignored, because a parent that has ended needs no progress.
    this.reporting = this.reporting.then(() => handle.signal(progressSignal, progress).catch(() => undefined));
  }

  private show(): void {
    const lines = [`**${this.node}**: ${this.step}`];
    if (this.waitingFor !== undefined) lines.push('', `Waiting for ${this.waitingFor}`);
    if (this.blockers.length > 0) lines.push('', ...this.blockers.map((blocker) => `- ${blockerText(blocker)}`));
    setCurrentDetails(lines.join('\n'));
  }
}

/** Maximum number of reported blockers per node. */
const maxBlockers = 20;
