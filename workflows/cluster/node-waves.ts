import {
  CancellationScope,
  ParentClosePolicy,
  executeChild,
  getExternalWorkflowHandle,
  isCancellation,
  sleep,
  workflowInfo,
} from '@temporalio/workflow';
import { WorkflowExecutionAlreadyStartedError } from '@temporalio/common';
import { run } from '../support/run.ts';
import type { ClusterState } from './state.ts';
import { forcePodSignal } from '../messages.ts';
import { translatePolicies } from './policies.ts';
import type { MigrationInput } from '../../model/input.ts';
import { computeBucket, computeDigest } from '../../model/node-digest.ts';
import { byName, isMigrated, expandGroups, type NodeFacts } from '../../model/nodes.ts';
import { estimate } from '../../model/plan.ts';
import type { Answer, NodeStatus } from '../../model/status.ts';
import { summarizeList } from '../../model/summarize.ts';
import { allWaves, nextWave, type Wave } from '../../model/waves.ts';
import { nodeMigration } from '../node/node-migration.ts';
import { nodeRollback } from '../node/node-rollback.ts';
import { failureSummary, operatorFailure } from '../support/operator-failure.ts';
import { searchAttributes } from '../search-attributes.ts';

/** Seconds between attempts to start a node's workflow while that of an earlier run has not ended. */
const startRetrySeconds = 10;
const maxStartAttempts = 2_000;

/** Number of nodes above which only changes are read. */
const largeCluster = 200;

/** Maximum age of the ledger in such a cluster, in ms. */
const ledgerEveryMs = 300_000;

/** Migrates nodes wave by wave, and rolls them back. */
export class MigratingNodes {
  private readonly state: ClusterState;
  private readonly input: MigrationInput;
  private facts: NodeFacts[] = [];
  /** Nodes that were changed since the last read. */
  private readonly touched = new Set<string>();
  private ledgerReadMs = 0;
  /** Nodes with a running workflow, migration or rollback. */
  private readonly active = new Set<string>();
  /** Nodes that are being migrated, with the scope that cancels each migration. */
  private readonly running = new Map<string, CancellationScope>();

  constructor(state: ClusterState, input: MigrationInput) {
    this.state = state;
    this.input = input;
    state.listeners.push((name, message) => {
      if (name === 'forcePod' && 'pod' in message) this.forcePod(message.pod);
      // Abort and rollback cancel the nodes that they concern immediately; other messages take effect at the next step.
      for (const [node, scope] of this.running) {
        if (state.isInterrupted || state.control.rollbacks.includes(node)) scope.cancel();
      }
    });
  }

  /**
   * Runs waves until no node is left.
   * @throws Interrupted; with `onFailure: stop` also the failure of a node.
   */
  async migrateAll(): Promise<void> {
    const { reminderSeconds } = this.input;
    for (;;) {
      await this.state.checkpoint(reminderSeconds);
      await this.refresh();
      if (await this.rollBackNextNode()) continue;
      const failed = this.state.status.nodes.filter(({ failure }) => failure !== undefined);
      const wave = failed.length > 0 ? undefined : this.nextWave();
      if (wave !== undefined) {
        if (await this.waitForWaveStart(wave)) await this.startWave(wave);
        continue;
      }
      const left = this.state.status.nodes.filter(({ state }) => state !== 'migrated' && state !== 'removed');
      if (left.length === 0) return this.state.stopWaiting(undefined);
      await this.waitForDecision(failed.length > 0 ? failed : left);
    }
  }

  /** Reads the nodes and reconciles the status: adds nodes that joined, and marks those that left as `removed`. */
  async refresh(): Promise<NodeFacts[]> {
    await this.observe();
    const { nodes } = this.state.status;
    const first = nodes.length === 0;
    const present = new Set(this.facts.map(({ name }) => name));
    for (const node of nodes) {
      if (present.has(node.name) || node.state === 'removed') continue;
      node.state = 'removed';
      delete node.failure;
      this.state.note(`${node.name} has left the cluster`);
    }
    const statusByName = new Map(nodes.map((node) => [node.name, node]));
    for (const facts of this.facts) {
      let node = statusByName.get(facts.name);
      if (node === undefined) {
        node = { name: facts.name, state: 'pending' };
        nodes.push(node);
        if (!first) this.state.note(`${facts.name} has joined the cluster`);
      }
      this.reconcile(node, facts);
    }
    if (first) this.forgetUnknownApprovals();
    this.state.show();
    return this.facts;
  }

  /**
   * Reads the nodes. In a large cluster, once all nodes are known, only deviations from the expected state are
   * returned, and pods are only read for nodes that are not known to be done: otherwise the history would grow with
   * every node in every wave.
   */
  private async observe(): Promise<void> {
    const { cluster, podCidr } = this.input;
    const large = this.facts.length > largeCluster;
    const done = new Set(this.state.status.nodes.flatMap(({ name, state }) => (state === 'migrated' ? [name] : [])));
    const uncertain = this.facts.flatMap(({ name, flipped }) =>
      this.touched.has(name) || (flipped && !done.has(name)) ? [name] : []
    );
    const seen = await run('observeNodes', 'observe nodes', {
      cluster,
      targetPodCidr: podCidr,
      ...(large && { known: computeDigest(this.facts), pods: uncertain }),
    });
    this.touched.clear();
    const changedBuckets = new Set(seen.buckets);
    const unchanged =
      seen.buckets === undefined ? [] : this.facts.filter(({ name }) => !changedBuckets.has(computeBucket(name)));
    this.facts = [...unchanged, ...expandGroups(seen.groups)].sort(byName);
  }

  /** Reconciles the status of a node with the cluster. On conflict, the cluster wins. */
  private reconcile(node: NodeStatus, facts: NodeFacts): void {
    if (node.state === 'removed') node.state = 'pending';
    if (node.state === 'migrated' && !isMigrated(facts)) {
      node.state = 'pending';
      this.state.note(`${node.name} is no longer migrated`);
    }
    if (['pending', 'awaiting-approval', 'not-ready'].includes(node.state)) {
      if (isMigrated(facts)) {
        node.state = 'migrated';
        this.state.note(`${node.name} was already migrated`);
      } else if (!facts.ready) node.state = 'not-ready';
      else if (node.state === 'not-ready') node.state = 'pending';
    }
  }

  private forgetUnknownApprovals(): void {
    const { nodes } = this.state.control.approvals;
    for (const name of Object.keys(nodes)) {
      if (this.state.node(name) !== undefined) continue;
      delete nodes[name];
      this.state.note(`an approval of ${name} was ignored: the cluster has no such node`);
    }
  }

  private nextWave(): Wave | undefined {
    const { status } = this.state;
    const eligible = new Set(
      status.nodes.filter(({ state }) => state === 'pending' || state === 'awaiting-approval').map(({ name }) => name)
    );
    return nextWave(
      this.facts.filter(({ name }) => eligible.has(name)),
      {
        maxConcurrency: status.maxConcurrency,
        canaryNode: this.input.waves.canaryNode,
        proven: status.nodes.some(({ state }) => state === 'migrated'),
      }
    );
  }

  /**
   * Waits for the wave's approval and for a maintenance window.
   * @returns true when the wave may start; false when the nodes must be read again first.
   */
  private async waitForWaveStart(wave: Wave): Promise<boolean> {
    const { status } = this.state;
    const number = status.waves + 1;
    for (const node of status.nodes) {
      const waits = wave.nodes.includes(node.name);
      if (waits) Object.assign(node, { state: 'awaiting-approval', wave: number });
      else if (node.state === 'awaiting-approval') node.state = 'pending';
    }
    if (!(await this.waitForWaveApproval(wave, number))) return false;
    const { windows, reminderSeconds } = this.input;
    if (windows.length === 0) return true;
    const { waitMs } = await run('untilWindow', 'check maintenance windows', { windows });
    if (waitMs === 0) return true;
    const opensAt = new Date(Date.now() + waitMs).toISOString();
    // A separate wait, after which the nodes are read again.
    await this.state.wait(
      { what: `the maintenance window that opens at ${opensAt}`, reminderSeconds, timeoutMs: waitMs },
      () => false
    );
    return false;
  }

  private async waitForWaveApproval(wave: Wave, number: number): Promise<boolean> {
    const { approval: mode, reminderSeconds, approvalDeadlineSeconds } = this.input;
    const canaryOnly = mode === 'canary-only' && !wave.reason.startsWith('canary');
    if (mode === 'none' || canaryOnly) return true;
    const { nodes, waves } = this.state.control.approvals;
    const missing = (): string[] =>
      waves[String(number)] === undefined ? wave.nodes.filter((name) => nodes[name] === undefined) : [];
    const unapproved = missing();
    if (unapproved.length > 0) {
      const perNode = mode === 'every-node';
      const names = unapproved.join(', ');
      const what = perNode ? `approval of node ${names}` : `approval of wave ${number} (${names})`;
      const answers: Answer[] = perNode
        ? unapproved.map((node) => ({ does: `approve node ${node}`, message: 'approve', input: { node } }))
        : [{ does: `approve wave ${number}`, message: 'approve', input: { wave: number } }];
      const timeoutMs = this.state.remainingMs(what, approvalDeadlineSeconds);
      const outcome = await this.state.wait(
        { what, answers, reminderSeconds, timeoutMs },
        () => missing().length === 0
      );
      if (outcome === 'timeout') this.state.pauseFor(`no ${what} within ${approvalDeadlineSeconds} s`);
      // False even when the approval was just given: other changes during the wait are handled first.
      return false;
    }
    for (const name of wave.nodes) {
      const node = this.state.node(name);
      const approval = nodes[name] ?? waves[String(number)];
      if (node !== undefined && approval !== undefined) node.approval = approval;
    }
    return true;
  }

  /** Runs a wave, unless policies have changed in a way that an operator must review. */
  private async startWave(wave: Wave): Promise<void> {
    if (this.input.policyMode !== 'off') await translatePolicies(this.input, this.state);
    if (this.state.status.paused === undefined) await this.runWave(wave);
  }

  private async runWave(wave: Wave): Promise<void> {
    const { status } = this.state;
    this.state.stopWaiting(undefined);
    status.waves++;
    const failures = await Promise.all(wave.nodes.map((name) => this.migrate(name)));
    await this.readLedger();
    this.estimateRemaining();
    const failure = failures.find((error) => error !== undefined);
    if (failure !== undefined && this.input.onFailure === 'stop') throw failure;
    const { soakSeconds } = this.input.waves;
    const more = status.nodes.some(({ state }) => state === 'pending');
    if (soakSeconds > 0 && more && failure === undefined) {
      const { reminderSeconds } = this.input;
      const timeoutMs = soakSeconds * 1_000;
      await this.state.wait(
        { what: `the end of the soak of wave ${status.waves}`, reminderSeconds, timeoutMs },
        () => false
      );
    }
  }

  /** Updates the ledger in the status. The ledger of a large cluster is long, so it is not read after every wave. */
  private async readLedger(): Promise<void> {
    const now = Date.now();
    if (this.facts.length > largeCluster && now - this.ledgerReadMs < ledgerEveryMs) return;
    this.ledgerReadMs = now;
    const { cluster } = this.input;
    this.state.ledger.during = await run('readLedger', 'read ledger', { cluster });
  }

  /** Estimates the remaining duration from the finished nodes. */
  private estimateRemaining(): void {
    const { plan, status } = this.state;
    if (plan === undefined) return;
    const pending = new Set(status.nodes.filter(({ state }) => state === 'pending').map(({ name }) => name));
    const left = this.facts.filter(({ name }) => pending.has(name));
    const rules = { maxConcurrency: status.maxConcurrency, canaryNode: this.input.waves.canaryNode, proven: true };
    const done = status.nodes.filter(({ state }) => state === 'migrated');
    plan.estimate = estimate(allWaves(left, rules), plan.drains, this.input, done);
  }

  /**
   * Migrates a node.
   * @returns the failure, if any.
   */
  private async migrate(name: string): Promise<Error | undefined> {
    const node = this.state.node(name);
    if (node === undefined) return undefined;
    node.state = 'migrating';
    delete node.failure;
    this.state.show();
    const start = Date.now();
    node.startedAt = new Date(start).toISOString();
    delete node.endedAt;
    try {
      await this.runChild(name, 'migration');
      node.state = 'migrated';
      this.expectMigrated(name);
      node.seconds = Math.round((Date.now() - start) / 1_000);
      return undefined;
    } catch (error) {
      const requested = this.state.isInterrupted || this.state.control.rollbacks.includes(name);
      if (isCancellation(error) && !requested) throw error;
      this.forgetRollback(name);
      if (isCancellation(error)) {
        // The node's own workflow has rolled it back.
        node.state = 'rolled-back';
        return undefined;
      }
      this.fail(node, error);
      if (this.input.onFailure === 'rollback') await this.rollBackNode(node);
      return asError(operatorFailure(error));
    } finally {
      node.endedAt = new Date().toISOString();
      delete node.blockers;
      delete node.waitingFor;
      this.state.show();
    }
  }

  /** Sets the expected state of a node after its migration, until the next read. */
  private expectMigrated(name: string): void {
    const facts = this.facts.find((node) => node.name === name);
    if (facts !== undefined) Object.assign(facts, { flipped: true, cordonedByUs: false, podsOnSource: 0 });
  }

  private fail(node: NodeStatus, error: unknown): void {
    node.state = 'failed';
    node.failure = failureSummary(error);
  }

  /**
   * Rolls back the next node that an operator requested.
   * @returns true when there was one.
   */
  private async rollBackNextNode(): Promise<boolean> {
    const [name] = this.state.control.rollbacks;
    if (name === undefined) return false;
    const node = this.state.node(name);
    if (node !== undefined && node.state !== 'removed' && node.state !== 'rolled-back') {
      delete node.failure;
      await this.rollBackNode(node);
    }
    this.forgetRollback(name);
    return true;
  }

  /**
   * Rolls back a node to Canal.
   * @returns true on success; otherwise the node's status has the failure.
   */
  async rollBackNode(node: NodeStatus): Promise<boolean> {
    this.state.stopWaiting(undefined);
    node.state = 'rolling-back';
    this.state.show();
    try {
      await this.runChild(node.name, 'rollback');
      node.state = 'rolled-back';
      delete node.seconds;
      return true;
    } catch (error) {
      if (isCancellation(error)) throw error;
      this.fail(node, error);
      return false;
    } finally {
      delete node.blockers;
      this.state.show();
    }
  }

  private forgetRollback(name: string): void {
    const { control } = this.state;
    control.rollbacks = control.rollbacks.filter((rollback) => rollback !== name);
  }

  /** Runs a node's workflow, migration or rollback. */
  private async runChild(node: string, kind: 'migration' | 'rollback'): Promise<void> {
    const workflowId = childId(node);
    const [type, summary] =
      kind === 'migration' ? [nodeMigration, 'Canal to Cilium'] : [nodeRollback, 'Cilium to Canal'];
    const options = {
      workflowId,
      args: [{ node, migration: this.input, forcedPods: this.state.control.forcedPods }] as const,
      // When the parent ends early, the child still restores the node.
      parentClosePolicy: ParentClosePolicy.REQUEST_CANCEL,
      staticSummary: `${node}: ${summary}`,
      typedSearchAttributes: [{ key: searchAttributes.cluster, value: this.input.cluster }],
    };
    const scope = new CancellationScope();
    // Rollbacks are not interrupted.
    if (kind === 'migration') this.running.set(node, scope);
    this.active.add(node);
    this.touched.add(node);
    try {
      await scope.run(() => startChildWhenFree(() => executeChild(type, { ...options, args: [...options.args] })));
    } finally {
      this.running.delete(node);
      this.active.delete(node);
    }
  }

  private forcePod(pod: string): void {
    for (const node of this.active) {
      // A child that has ended does not need it; a later child gets it in its input.
      void getExternalWorkflowHandle(childId(node))
        .signal(forcePodSignal, pod)
        .catch(() => undefined);
    }
  }

  /**
   * Waits for an operator or for a change of the nodes: they failed, are sidelined or not Ready, so that no node can
   * make progress without a decision.
   */
  private async waitForDecision(nodes: readonly NodeStatus[]): Promise<void> {
    const { cluster, reminderSeconds } = this.input;
    const names = nodes.map(({ name, state, failure }) => `${name} (${failure?.type ?? state})`);
    const what = `a decision about ${summarizeList(names, maxNamed)}`;
    const answers: Answer[] = nodes.slice(0, maxNamed).map(({ name }) => ({
      does: `retry node ${name}`,
      message: 'retry',
      input: { node: name },
    }));
    for (const { name, failure } of nodes.slice(0, maxNamed)) {
      if (failure === undefined) continue;
      answers.push({ does: `skip node ${name}`, message: 'skip', input: { node: name } });
      answers.push({ does: `roll back node ${name} to Canal`, message: 'rollback', input: { node: name } });
    }
    answers.push({ does: 'abort the migration', message: 'abort', input: {} });
    let changed = false;
    const watch = new CancellationScope();
    const watched = watch
      .run(() =>
        run('waitForNodeChange', 'wait for node changes', {
          cluster,
          known: this.facts.map(({ name, ready }) => ({ name, ready })),
        })
      )
      .then(
        () => (changed = true),
        (error: unknown) => {
          if (!isCancellation(error)) throw error;
        }
      );
    await this.state.wait({ what, answers, reminderSeconds }, () => changed);
    watch.cancel();
    await watched;
  }
}

/** Maximum number of nodes named in a wait. */
const maxNamed = 10;

function asError(thrown: unknown): Error {
  return thrown instanceof Error ? thrown : new Error(String(thrown));
}

function childId(node: string): string {
  return `${workflowInfo().workflowId}/node/${node}`;
}

/** Starts a node's workflow, once that of an earlier, ended run has finished restoring the node. */
async function startChildWhenFree(start: () => Promise<void>): Promise<void> {
  for (let tries = 1; ; tries++) {
    try {
      return await start();
    } catch (error) {
      if (!(error instanceof WorkflowExecutionAlreadyStartedError) || tries >= maxStartAttempts) throw error;
      await sleep(`${startRetrySeconds} seconds`, { summary: 'wait until an earlier run has restored the node' });
    }
  }
}
