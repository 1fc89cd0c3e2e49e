import { ApplicationFailure, setCurrentDetails, setHandler, workflowInfo } from '@temporalio/workflow';
import { forcePodSignal, progressSignal, retryStepSignal } from '../messages.ts';
import { isQuestion, repeatedStepText, type RepeatedStep } from '../../model/attempts.ts';
import { withPolicies } from '../../model/gates.ts';
import type { MigrationInput } from '../../model/input.ts';
import type { Network } from '../../model/network.ts';
import type { NodeWorkflowInput } from '../../model/node-input.ts';
import { updateCommand } from '../../model/shell.ts';
import { blockerText, type Blocker, type NodeProgress } from '../../model/status.ts';
import { Changes } from '../support/changes.ts';
import { ParentProgress } from '../support/parent-progress.ts';
import type { ActivityInput, ActivityResult } from '../support/run.ts';
import { Steps } from '../support/steps.ts';
import type { Activities } from '../../activities/index.ts';
import { drainInRounds } from './drain-rounds.ts';
import { operatorFailure } from '../support/operator-failure.ts';

/** Steps that the migration and the rollback of a node share. */
export class NodeSteps {
  readonly node: string;
  readonly migration: MigrationInput;
  private forcedPods: readonly string[];
  /** Decisions about pods, for which the current round of a drain starts again. */
  private readonly podDecisions = new Changes();
  private endRound: () => void = () => undefined;
  private step = '';
  private blockers: Blocker[] = [];
  private waitingFor: string | undefined;
  private readonly parentProgress: ParentProgress<NodeProgress>;
  /** Run of the cluster's workflow that started this one. */
  private readonly parentRunId = workflowInfo().parent?.runId ?? '';
  /** True from the moment on at which nothing interrupts this workflow any more. */
  private isRestoring = false;
  private readonly steps = new Steps({
    onChange: () => this.report(this.blockers),
    // A node that fails is rolled back, or ends the migration, where the operator has decided so in advance.
    failsAtBound: () => !this.isRestoring && this.migration.onFailure !== 'wait',
  });

  constructor({ node, migration, forcedPods }: NodeWorkflowInput) {
    this.node = node;
    this.migration = migration;
    this.forcedPods = forcedPods;
    this.parentProgress = new ParentProgress(progressSignal, this.progressKey);
    setHandler(forcePodSignal, (pod) => {
      this.forcedPods = [...this.forcedPods, pod];
      this.podDecisions.record();
      this.endRound();
    });
    setHandler(retryStepSignal, () => this.steps.answer(undefined, 'retry'));
  }

  /** Records that the node is restored or rolled back from now on, which no message interrupts. */
  beginRestoration(): void {
    this.isRestoring = true;
  }

  get target(): { cluster: string; node: string } {
    return { cluster: this.migration.cluster, node: this.node };
  }

  /**
   * Runs an activity on the node.
   * @param summary verb and object, for the Web UI.
   */
  run<Name extends keyof Activities>(
    name: Name,
    summary: string,
    input: ActivityInput<Name>
  ): Promise<ActivityResult<Name>> {
    return this.steps.run(name, this.summary(summary), input);
  }

  /** Returns the summary of an activity on the node. */
  summary(text: string): string {
    return `${this.node}: ${text}`;
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

  /** @param to network to which the pods of the node are to move. */
  async cordon(to: Network): Promise<void> {
    this.begin('cordon');
    await this.run('cordonNode', 'cordon', { ...this.target, to });
  }

  async uncordon(): Promise<void> {
    this.begin('uncordon');
    await this.run('uncordonNode', 'uncordon', this.target);
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
    await this.run('verifyNode', step, { ...this.target, targetPodCidr: podCidr, proberImage, expected });
  }

  /** Evaluates the gates for the node's paths since `sinceMs` (Unix ms). */
  async gate(sinceMs: number): Promise<void> {
    this.begin('check gates');
    const { cluster, policyMode } = this.migration;
    const gates = withPolicies(this.migration.gates, policyMode === 'enforce');
    await this.run('checkGates', 'check gates', { cluster, gates, sinceMs, nodes: [this.node] });
  }

  /**
   * Collects diagnostics of a failure.
   * @returns the failure, with the location of the diagnostics.
   */
  async withDiagnostics(error: unknown): Promise<unknown> {
    this.begin('collect diagnostics');
    const failure = operatorFailure(error, `node ${this.node}`);
    if (!(failure instanceof ApplicationFailure)) return failure;
    const { message } = failure;
    const bundle = await this.run('collectDiagnostics', 'collect diagnostics', { ...this.target, reason: message })
      // The original failure matters more than missing diagnostics.
      .catch(() => undefined);
    if (bundle === undefined) return failure;
    const [namespace = '', name = ''] = bundle.split('/');
    return ApplicationFailure.create({
      message: `${message}\ndiagnostics: ConfigMap ${name} in ${namespace}`,
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
        this.run('drainNode', step, {
          ...this.target,
          to,
          daemonSets,
          options: drain,
          targetPodCidr: podCidr,
          forcedPods: [...this.forcedPods],
          roundSeconds,
        }),
      report: (blockers) => this.report(blockers),
      ...(onChecked && { onChecked }),
      decisions: this.podDecisions,
      onRoundStart: (endRound) => (this.endRound = endRound),
    });
  }

  private report(blockers: Blocker[]): void {
    this.blockers = blockers.slice(0, maxBlockers);
    this.show();
    // Unchanged progress is not reported again: a drain that waits for days adds nothing to the history of the
    // cluster's workflow.
    this.parentProgress.report(this.progress, this.progressKey);
  }

  private get progress(): NodeProgress {
    const { node, blockers, parentRunId, isRestoring } = this;
    const repeatedSteps = this.steps.repeated;
    const [first] = repeatedSteps;
    const waitingFor = first === undefined ? this.waitingFor : repeatedStepText(first);
    return {
      ...{ node, blockers, parentRunId },
      ...(waitingFor !== undefined && { waitingFor }),
      ...(first !== undefined && { needsRepair: true, repeatedSteps, isRestoring }),
    };
  }

  /** Text that changes with each progress that the cluster's workflow must know. */
  private get progressKey(): string {
    const { repeatedSteps = [], waitingFor, ...progress } = this.progress;
    const steps = repeatedSteps.map((repeated) => [
      repeated.step,
      repeated.state,
      repeated.failure.type,
      ageOf(repeated),
    ]);
    return JSON.stringify([progress, steps, steps.length === 0 ? waitingFor : '']);
  }

  private show(): void {
    const lines = [`**${this.node}**: ${this.step}`];
    const { waitingFor } = this.progress;
    if (waitingFor !== undefined) lines.push('', `Waiting for ${waitingFor}`);
    lines.push(...this.answerLines);
    if (this.blockers.length > 0) lines.push('', ...this.blockers.map((blocker) => `- ${blockerText(blocker)}`));
    setCurrentDetails(lines.join('\n'));
  }

  /** How the question about a step is answered: by a message to the cluster's workflow. */
  private get answerLines(): string[] {
    const { parent, namespace } = workflowInfo();
    if (parent === undefined || !this.steps.repeated.some(isQuestion)) return [];
    const answer = { does: 'try the step again', message: 'retry', input: { node: this.node } };
    const command = updateCommand({ workflowId: parent.workflowId, namespace }, answer);
    return ['', `To ${answer.does}:`, '', '```', command, '```'];
  }
}

/**
 * Returns how far a repeated step is, for the cluster's workflow: every known attempt, and of a question whose attempts
 * continue for days only the hour, because each report is an event in the history of that workflow.
 */
function ageOf(repeated: RepeatedStep): number {
  const hours = (Date.parse(repeated.failedAt) - Date.parse(repeated.since)) / 3_600_000;
  return isQuestion(repeated) ? Math.floor(hours) : repeated.attempts;
}

/** Maximum number of reported blockers per node. */
const maxBlockers = 20;
