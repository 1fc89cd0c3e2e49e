import {
  CancellationScope,
  ParentClosePolicy,
  TemporalFailure,
  getExternalWorkflowHandle,
  isCancellation,
  sleep,
  startChild,
  workflowInfo,
} from '@temporalio/workflow';
import { WorkflowExecutionAlreadyStartedError } from '@temporalio/common';
import type { Decision } from '../../model/decision.ts';
import { forgetRollback } from '../../model/message-context.ts';
import type { Messages } from '../../model/message-schemas.ts';
import { showNodeWait } from '../../model/pending-needs.ts';
import type { NodeStatus } from '../../model/status.ts';
import { forcePodSignal, nodeWorkflowId, retryStepSignal } from '../messages.ts';
import { nodeMigration } from '../node/node-migration.ts';
import { nodeRollback } from '../node/node-rollback.ts';
import { searchAttributes } from '../search-attributes.ts';
import { failureSummary, operatorFailure } from '../support/operator-failure.ts';
import type { Migration } from './migration.ts';
import type { Nodes } from './nodes.ts';

/** Seconds between attempts to start a node's workflow while that of an earlier run has not ended. */
const startRetrySeconds = [10, 20, 40, 80, 160, 300] as const;

/** Runs the workflows of nodes: migrations and rollbacks. */
export class NodeRuns {
  private readonly migration: Migration;
  private readonly nodes: Nodes;
  /** Nodes with an open workflow. */
  private readonly active = new Set<string>();
  /** Nodes whose workflow has started, and was not only requested. */
  private readonly started = new Set<string>();
  /** Nodes that are being migrated, with the scope that cancels each migration. */
  private readonly migrating = new Map<string, CancellationScope>();

  constructor(migration: Migration, nodes: Nodes) {
    this.migration = migration;
    this.nodes = nodes;
    migration.listeners.push((name, message) => {
      if (name === 'forcePod' && 'pod' in message) this.forcePod(message.pod);
      if (name === 'retry') this.retrySteps(message);
      // The rollback of a node in progress begins immediately. An abort, or a rollback of all, cancels the whole phase.
      for (const [node, scope] of this.migrating) if (this.isRollbackRequested(node)) scope.cancel();
    });
  }

  private isRollbackRequested(node: string): boolean {
    return this.migration.state.decisions.rollbacks.includes(node);
  }

  /**
   * Migrates a node.
   * @returns the failure, if any.
   * @throws CancelledFailure when the whole phase is cancelled; the node is restored then.
   */
  async migrate(node: NodeStatus, approval: Decision | undefined): Promise<Error | undefined> {
    const { migration } = this;
    const at = new Date().toISOString();
    migration.nodeEvent(node, { kind: 'started', at, ...(approval && { approval }) });
    try {
      await this.runChild(node.name, 'migration');
      this.nodes.expectMigrated(node.name);
      migration.nodeEvent(node, { kind: 'migrated', at: new Date().toISOString() });
      return undefined;
    } catch (error) {
      if (isCancellation(error)) return this.endCancelled(node, error);
      // A request to roll it back stays, and is executed next.
      this.fail(node, error);
      if (migration.input.onFailure === 'rollback') await this.rollBack(node, true);
      return asError(operatorFailure(error));
    }
  }

  /**
   * Ends a cancelled migration of a node. Its own workflow has restored it. Where that has not started, for example
   * because the workflow of an earlier run still restores the node, a request to roll it back stays, and is executed next.
   * @throws the cancellation when the whole phase is cancelled.
   */
  private endCancelled(node: NodeStatus, cancellation: unknown): undefined {
    const isPhaseCancelled = CancellationScope.current().consideredCancelled;
    if (!this.started.has(node.name)) {
      this.migration.nodeEvent(node, { kind: 'not-started' });
      if (isPhaseCancelled) throw cancellation;
      return undefined;
    }
    this.migration.nodeEvent(node, { kind: 'rolled-back', at: new Date().toISOString() });
    if (!this.isRollbackRequested(node.name) && isPhaseCancelled) throw cancellation;
    this.forgetRollback(node.name);
    return undefined;
  }

  /**
   * Rolls back a node to Canal.
   * @param keepFailure true when an operator has to decide about the failure that caused the rollback.
   * @returns true on success; otherwise the node's status has the failure.
   */
  async rollBack(node: NodeStatus, keepFailure = false): Promise<boolean> {
    this.migration.nodeEvent(node, { kind: 'rollback-started', keepFailure });
    try {
      await this.runChild(node.name, 'rollback');
      this.migration.nodeEvent(node, { kind: 'rolled-back', at: new Date().toISOString() });
      return true;
    } catch (error) {
      if (isCancellation(error)) throw error;
      this.fail(node, error);
      return false;
    } finally {
      this.forgetRollback(node.name);
    }
  }

  /** @throws the error itself when it is a bug rather than a failure of Temporal. */
  private fail(node: NodeStatus, error: unknown): void {
    if (!(error instanceof TemporalFailure)) throw error;
    this.migration.nodeEvent(node, { kind: 'failed', at: new Date().toISOString(), failure: failureSummary(error) });
  }

  private forgetRollback(name: string): void {
    forgetRollback(this.migration.state.decisions, name);
  }

  /** Runs a node's workflow, migration or rollback. */
  private async runChild(node: string, kind: 'migration' | 'rollback'): Promise<void> {
    const { input, state } = this.migration;
    const [type, summary] =
      kind === 'migration' ? [nodeMigration, 'Canal to Cilium'] : [nodeRollback, 'Cilium to Canal'];
    const options = {
      workflowId: this.childId(node),
      // When the parent ends early, the child still restores the node.
      parentClosePolicy: ParentClosePolicy.REQUEST_CANCEL,
      staticSummary: `${node}: ${summary}`,
      typedSearchAttributes: [{ key: searchAttributes.cluster, value: input.cluster }],
    };
    const scope = new CancellationScope();
    if (kind === 'migration') this.migrating.set(node, scope);
    this.active.add(node);
    this.started.delete(node);
    this.nodes.touch(node);
    // With the decisions of that moment: it may start long after its request.
    const start = async (): Promise<void> => {
      const { forcedPods } = state.decisions;
      const child = await startChild(type, { ...options, args: [{ node, migration: input, forcedPods }] });
      this.started.add(node);
      // Signals to a workflow that had not started yet were lost.
      for (const pod of state.decisions.forcedPods) if (!forcedPods.includes(pod)) this.sendForcedPod(node, pod);
      await child.result();
    };
    try {
      const execute = () => this.startWhenFree(node, start);
      // A rollback is not interrupted: half of it would leave the node cordoned.
      await (kind === 'migration' ? scope.run(execute) : CancellationScope.nonCancellable(execute));
    } finally {
      this.migrating.delete(node);
      this.active.delete(node);
    }
  }

  /** Starts a node's workflow, once that of an earlier, ended run has finished restoring the node. */
  private async startWhenFree(name: string, start: () => Promise<void>): Promise<void> {
    for (let tries = 0; ; tries++) {
      try {
        return await start();
      } catch (error) {
        if (!(error instanceof WorkflowExecutionAlreadyStartedError)) throw error;
        this.showWait(name, `the end of the workflow ${this.childId(name)} of an earlier run`);
        const seconds = startRetrySeconds[Math.min(tries, startRetrySeconds.length - 1)] ?? 300;
        await sleep(seconds * 1_000, { summary: 'wait until an earlier run has restored the node' }).finally(() =>
          this.showWait(name, undefined)
        );
      }
    }
  }

  private childId(node: string): string {
    return nodeWorkflowId(workflowInfo().workflowId, node, this.migration.state.request?.nodeIdSecret);
  }

  private showWait(name: string, waitingFor: string | undefined): void {
    const node = this.migration.node(name);
    if (node === undefined) return;
    // Its workflow may wait for an answer, which only this one can pass on now.
    const answers = [{ does: `repeat a failed step of that workflow`, message: 'retry', input: { node: name } }];
    const wait = waitingFor === undefined ? {} : { waitingFor, needsRepair: true, answers };
    showNodeWait(node, wait, new Date().toISOString());
    this.migration.publish();
  }

  /** Passes the answer to the question about a step on to the workflows of the nodes that may ask it. */
  private retrySteps({ node, all }: Messages['retry']): void {
    const nodes = all === true ? [...this.active] : [...this.active].filter((name) => name === node);
    for (const name of nodes) {
      void getExternalWorkflowHandle(this.childId(name))
        .signal(retryStepSignal)
        .catch(() => undefined);
    }
  }

  private forcePod(pod: string): void {
    for (const node of this.active) this.sendForcedPod(node, pod);
  }

  private sendForcedPod(node: string, pod: string): void {
    // A child that has ended does not need it; a later child gets it in its input.
    void getExternalWorkflowHandle(this.childId(node))
      .signal(forcePodSignal, pod)
      .catch(() => undefined);
  }
}

function asError(thrown: unknown): Error {
  return thrown instanceof Error ? thrown : new Error(String(thrown));
}
