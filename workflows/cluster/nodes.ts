import { computeBucket, computeDigest } from '../../model/node-digest.ts';
import { transition } from '../../model/node-transitions.ts';
import { byName, expandGroups, isMigrated, type NodeFacts } from '../../model/nodes.ts';
import type { NodeStatus } from '../../model/status.ts';
import type { Migration } from './migration.ts';
import { forgetAbsent } from './remaining.ts';

/** Number of nodes above which only changes are read. */
const largeCluster = 200;

/** Maximum number of times that the migration of a node is repeated without a decision, after the node was switched off. */
const maxLosses = 3;

/** The nodes of the cluster: their facts as last read, and their status, which follows them. */
export class Nodes {
  facts: NodeFacts[] = [];
  private readonly migration: Migration;
  /** Failed nodes that were read since their failure, and were not migrated then. */
  private readonly failedUnmigrated = new Set<string>();
  /** Number of times that a node was sidelined because its migration lost it. */
  private readonly losses = new Map<string, number>();
  /** Nodes that were changed since the last read. */
  private readonly touched = new Set<string>();

  constructor(migration: Migration) {
    this.migration = migration;
  }

  get isLarge(): boolean {
    return this.facts.length > largeCluster;
  }

  /** Reads a node in the next read, because it is being changed. */
  touch(name: string): void {
    this.touched.add(name);
  }

  /** Sets the expected facts of a node after its migration, until the next read. */
  expectMigrated(name: string): void {
    const facts = this.facts.find((node) => node.name === name);
    if (facts !== undefined) Object.assign(facts, { flipped: true, cordonedByUs: false, podsOnSource: 0 });
  }

  /** Reads the nodes and reconciles the status with the cluster. On conflict, the cluster wins. */
  async refresh(): Promise<NodeFacts[]> {
    await this.observe();
    const { status } = this.migration;
    const isFirst = status.nodes.length === 0;
    this.forgetAbsent(this.facts.map(({ name }) => name));
    const statusByName = new Map(status.nodes.map((node) => [node.name, node]));
    for (const facts of this.facts) {
      const known = statusByName.get(facts.name);
      const node: NodeStatus = known ?? { name: facts.name, state: 'pending' };
      if (known === undefined) {
        status.nodes.push(node);
        if (!isFirst) this.join(node);
      }
      this.reconcile(node, facts);
    }
    if (isFirst) this.forgetUnknownApprovals();
    this.migration.publish();
    return this.facts;
  }

  /** Forgets the nodes that are no longer in the cluster, with a note. */
  forgetAbsent(present: readonly string[]): void {
    const names = new Set(present);
    for (const node of this.migration.status.nodes) {
      if (!names.has(node.name) && transition(node, { kind: 'left' }))
        this.migration.record(`${node.name} has left the cluster`);
    }
    forgetAbsent(this.migration, present);
  }

  /**
   * Reads the nodes. In a large cluster, once all nodes are known, only deviations from the expected state are
   * returned, and pods are only read for nodes that are not known to be done: otherwise the history would grow with
   * every node in every wave.
   */
  private async observe(): Promise<void> {
    const { run, input, status } = this.migration;
    const done = new Set(status.nodes.flatMap(({ name, state }) => (state === 'migrated' ? [name] : [])));
    const uncertain = this.facts.flatMap(({ name, flipped }) =>
      this.touched.has(name) || (flipped && !done.has(name)) ? [name] : []
    );
    const seen = await run('observeNodes', 'observe nodes', {
      cluster: input.cluster,
      targetPodCidr: input.podCidr,
      ...(this.isLarge && { known: computeDigest(this.facts), pods: uncertain }),
    });
    this.touched.clear();
    const changedBuckets = new Set(seen.buckets);
    const unchanged =
      seen.buckets === undefined ? [] : this.facts.filter(({ name }) => !changedBuckets.has(computeBucket(name)));
    this.facts = [...unchanged, ...expandGroups(seen.groups)].sort(byName);
  }

  private join(node: NodeStatus): void {
    node.joinedAt = new Date().toISOString();
    this.migration.record(`${node.name} has joined the cluster`);
  }

  private reconcile(node: NodeStatus, facts: NodeFacts): void {
    const { migration } = this;
    if (transition(node, { kind: 'rejoined' })) this.join(node);
    this.sidelineLost(node, facts);
    const migrated = isMigrated(facts);
    if (node.state !== 'failed') this.failedUnmigrated.delete(node.name);
    else if (!migrated) this.failedUnmigrated.add(node.name);
    // Its failure, such as a gate's, counts although its pods are on Cilium; unless it was repaired since then.
    else if (!this.failedUnmigrated.has(node.name)) return;
    if (migrated) {
      if (transition(node, { kind: 'found-migrated' })) migration.record(`${node.name} was already migrated`);
      return;
    }
    if (transition(node, { kind: 'found-unmigrated' })) migration.record(`${node.name} is no longer migrated`);
    transition(node, { kind: facts.ready ? 'found-ready' : 'found-not-ready' });
  }

  /**
   * Sidelines a node whose migration failed because it was switched off: the others continue, and it is migrated when it is
   * back. A node that is lost repeatedly stays failed, so that a person decides.
   */
  private sidelineLost(node: NodeStatus, { ready }: NodeFacts): void {
    const { name, state, failure } = node;
    const losses = this.losses.get(name) ?? 0;
    if (ready || state !== 'failed' || failure?.type !== 'NodeNotReady' || losses >= maxLosses) return;
    this.losses.set(name, losses + 1);
    transition(node, { kind: 'lost' });
    this.migration.record(`${name} is sidelined until it is Ready: ${failure.message}`);
  }

  /** Forgets approvals, given before the first read, of nodes that the cluster does not have. */
  private forgetUnknownApprovals(): void {
    const { nodes } = this.migration.state.decisions.approvals;
    const known = new Set(this.migration.status.nodes.map(({ name }) => name));
    for (const name of Object.keys(nodes)) {
      if (known.has(name)) continue;
      delete nodes[name];
      this.migration.record(`an approval of ${name} was ignored: the cluster has no such node`);
    }
  }
}
