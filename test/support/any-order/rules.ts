import { Context } from '@temporalio/activity';
import { ApplicationFailure } from '@temporalio/common';
import type { MigrationStatus } from '../../../model/status.ts';
import { fakeCluster, permanent } from '../fake-cluster.ts';
import { Promises } from './promises.ts';
import { nodeNames, type Message, type Scenario } from './scenario.ts';

/** What operators approved in one run, continued as new or not. */
interface Approvals {
  nodes: Set<string>;
  waves: Set<number>;
  plan: boolean;
  cutover: boolean;
  cleanup: boolean;
}

/** Result of a message: a signal's is unknown, and so is that of an update whose run ended meanwhile. */
export type Outcome = 'accepted' | 'refused' | 'unknown';

/** A fake cluster that knows what operators sent, and records each step that was not allowed. */
export class ScenarioCluster {
  readonly promises = new Promises();
  readonly fake: ReturnType<typeof fakeCluster>;
  private readonly example: Scenario;
  private readonly broken: string[] = [];
  private readonly approvals: Approvals[] = [];
  /** Number of the run in which a workflow was first seen, by its run ID. */
  private readonly runOfWorkflow = new Map<string, number>();
  private readonly busy = new Map<string, number>();
  private maxConcurrency: number;
  /** True when Cilium owned the CNI of every node at the last step. */
  private hasCutOver = false;
  private isRepaired = false;
  private downUntilMs = 0;

  constructor(example: Scenario) {
    this.example = example;
    this.maxConcurrency = example.size;
    const { controlPlanes, cordonedBefore } = example;
    this.fake = fakeCluster({
      nodes: nodeNames.map((name) => ({
        name,
        controlPlane: controlPlanes.includes(name),
        cordoned: cordonedBefore.includes(name) ? ('by others' as const) : (false as const),
      })),
      before: (activity, node) => this.before(activity, node),
    });
  }

  /** A run starts, the first one or the next one. */
  startRun(): void {
    const { approval, cleanup } = this.example;
    this.approvals.push({
      ...{ nodes: new Set(), waves: new Set() },
      ...{ plan: approval === 'none', cutover: !this.needsApprovals, cleanup: cleanup === 'automatic' },
    });
  }

  /** True when each node, and the cutover, need an approval. */
  private get needsApprovals(): boolean {
    return this.example.approval === 'every-node' || this.example.approval === 'every-wave';
  }

  /** From now on, nothing fails. */
  repair(): void {
    this.isRepaired = true;
    this.downUntilMs = 0;
  }

  /** The API server does not answer for a while. */
  startOutage(ms: number): void {
    this.downUntilMs = Date.now() + ms;
  }

  /** A message is about to be sent. @returns a function to call with its outcome. */
  sending({ name, input }: Message): (outcome: Outcome) => void {
    const hadPassed = this.fake.system.noReturn !== undefined;
    const keepPromise = this.promises.expect({ name, input });
    const approvals = this.approvals.at(-1);
    // The step may follow before the answer arrives.
    const withdraw = name === 'approve' && approvals !== undefined ? approve(approvals, input) : () => undefined;
    if (name === 'setMaxConcurrency')
      this.maxConcurrency = Math.max(this.maxConcurrency, input['maxConcurrency'] as number);
    return (outcome) => {
      if (outcome === 'refused') return withdraw();
      keepPromise(outcome === 'accepted');
      if (outcome === 'accepted' && hadPassed && ['rollback', 'abort', 'pause', 'reject'].includes(name))
        this.broken.push(`${name} accepted after the point of no return`);
    };
  }

  private async before(activity: string, node: string | undefined): Promise<void> {
    if (!this.isRepaired && Date.now() < this.downUntilMs)
      throw ApplicationFailure.retryable('connect ECONNREFUSED', 'ClusterUnreachable');
    const run = this.findRun();
    this.checkApprovals(activity, node, this.approvals[run]);
    if (node === undefined) return;
    if (this.isRestored(node)) this.promises.restored(node);
    await this.occupy(activity, node, run);
    const fails = this.example.failures.some((failing) => failing.step === activity && failing.node === node);
    if (!this.isRepaired && fails) throw permanent('VerificationFailed', `${activity} fails on ${node}`);
  }

  /** Returns the number of the run that executes the current activity, itself or in the workflow of a node. */
  private findRun(): number {
    const runId = Context.current().info.workflowExecution?.runId ?? '';
    const known = this.runOfWorkflow.get(runId) ?? this.approvals.length - 1;
    this.runOfWorkflow.set(runId, known);
    return known;
  }

  private checkApprovals(activity: string, node = '', approvals: Approvals | undefined): void {
    if (approvals === undefined) throw new Error('a step without a run');
    const { system } = this.fake;
    if (activity === 'applyHelmRelease' && !system.installed && !approvals.plan)
      this.broken.push('installed without an approved plan');
    if (activity === 'recordPointOfNoReturn' && system.noReturn === undefined && !approvals.cleanup)
      this.broken.push('Canal is removed without an approval');
    // The run that first finds it so has begun the cutover, or follows one that has.
    if (system.ciliumOwnsCni && !this.hasCutOver && !this.approvals.some(({ cutover }) => cutover))
      this.broken.push('the cutover began without an approval');
    this.hasCutOver = system.ciliumOwnsCni;
    if (activity === 'revertNodeFlip' && this.fake.nodes.get(node)?.flipped === true && !system.bridge)
      this.broken.push(`${node} returned to Canal without the identity bridge`);
    if (activity === 'flipNode' && this.needsApprovals && approvals.waves.size === 0 && !approvals.nodes.has(node))
      this.broken.push(`flipped ${node} without an approval`);
  }

  /** Counts the nodes on which the same run works at the same time. */
  private async occupy(activity: string, node: string, run: number): Promise<void> {
    if (['cleanHost', 'restartOutdatedAgent'].includes(activity)) return;
    // In the cutover, agents of several nodes are verified at the same time; no pod moves.
    if (activity === 'verify cilium' && this.fake.system.ciliumOwnsCni) return;
    const key = `${run} ${node}`;
    this.busy.set(key, (this.busy.get(key) ?? 0) + 1);
    const busyNodes = [...this.busy.keys()]
      .filter((other) => other.startsWith(`${run} `))
      .map((other) => other.slice(-1));
    if (busyNodes.length > this.maxConcurrency)
      this.broken.push(`${busyNodes.length} nodes at once: ${busyNodes.join()}`);
    if (busyNodes.filter((name) => this.example.controlPlanes.some((other) => other === name)).length > 1)
      this.broken.push('two control planes at once');
    await new Promise((resolve) => setTimeout(resolve, 5));
    const left = (this.busy.get(key) ?? 1) - 1;
    if (left === 0) this.busy.delete(key);
    else this.busy.set(key, left);
  }

  private isRestored(name: string): boolean {
    const node = this.fake.nodes.get(name);
    return node?.cordoned !== 'by us' && node?.flipped === false && node.pods === 'canal' && node.cni === 'canal';
  }

  /** Checks a run that has ended. */
  checkRun(status: MigrationStatus, execution: string): void {
    if (this.needsApprovals) {
      const unapproved = status.nodes.filter((node) => node.startedAt !== undefined && node.approval === undefined);
      expect(unapproved.map(({ name }) => name)).toEqual([]);
    }
    for (const name of nodeNames) if (this.isRestored(name)) this.promises.restored(name);
    this.broken.push(...this.promises.findBroken(status, execution));
    expect({ broken: this.broken, rules: this.fake.broken }).toEqual({ broken: [], rules: [] });
  }

  /** Checks the cluster after the last run, which has ended in one of its two good ends. */
  checkEnd({ phase, notes }: MigrationStatus): void {
    const { system, nodes } = this.fake;
    const all = [...nodes.values()];
    const stillTheirs = all.filter(({ cordoned }) => cordoned === 'by others').map(({ name }) => name);
    // In an outage, the release of the lock ends soon, and the next run takes the lock over.
    const isLockLeft = notes.some((note) => note.startsWith('the lock of the cluster was not released'));
    expect({ isLocked: system.lock !== '', cordoned: this.fake.cordoned(), stillTheirs }).toEqual({
      isLocked: isLockLeft,
      cordoned: [...this.example.cordonedBefore].sort(),
      stillTheirs: [...this.example.cordonedBefore].sort(),
    });
    if (phase === 'done') {
      expect(all.every(({ pods }) => pods === 'cilium')).toBe(true);
      expect(system).toMatchObject({ canal: false, installed: true });
      return;
    }
    expect(phase).toBe('rolled-back');
    for (const node of all) expect(node).toMatchObject({ pods: 'canal', cni: 'canal', flipped: false });
    expect(system).toMatchObject({ canal: true, installed: false });
  }
}

/** Adds an approval. @returns a function that removes it again. */
function approve(approvals: Approvals, input: Message['input']): () => void {
  const before = { ...approvals, nodes: new Set(approvals.nodes), waves: new Set(approvals.waves) };
  if (typeof input['node'] === 'string') approvals.nodes.add(input['node']);
  if (typeof input['wave'] === 'number') approvals.waves.add(input['wave']);
  if (input['plan'] === true || typeof input['plan'] === 'string') approvals.plan = true;
  if (input['cutover'] === true) approvals.cutover = true;
  if (input['cleanup'] === true) approvals.cleanup = true;
  return () => Object.assign(approvals, before);
}
