import {
  ApplicationFailure,
  ParentClosePolicy,
  condition,
  executeChild,
  setCurrentDetails,
  setHandler,
  workflowInfo,
} from '@temporalio/workflow';
import { helm, patient, preflight, quick } from './activity-proxies.ts';
import { approveSignal, statusQuery, type Approval } from './messages.ts';
import { coexistenceValues, conflictingValues, expectedConfig, finalValues } from './model/helm-values.ts';
import { parseInput, type MigrationInput } from './model/input.ts';
import { nodeOrder, objections, type ClusterFacts } from './model/source.ts';
import {
  maxNotes,
  statusMarkdown,
  type MigrationReport,
  type MigrationStatus,
  type NodeStatus,
  type Phase,
} from './model/status.ts';
import { nodeMigration } from './node-migration.ts';
import { operatorFailure } from './operator-failure.ts';

/**
 * Migrates a cluster from Canal to Cilium.
 *
 * preflight → coexistence (Cilium beside Canal, owning no pod) → migrate (node by node, each its own child workflow) →
 * cut-over (final values, Cilium sole owner) → clean-up (Canal's workloads removed). Progress is read from the cluster,
 * so a run that follows a failed, cancelled or terminated one goes on from where that one stopped.
 *
 * @param raw a MigrationRequest; checked before anything else.
 * @throws ApplicationFailure of one of the types in model/failure-types.ts.
 */
export async function clusterMigration(raw: unknown): Promise<MigrationReport> {
  const migration = new ClusterMigration();
  // Handlers come first: a query or signal may be in the very first task.
  setHandler(statusQuery, () => migration.status, { description: 'Where the migration is' });
  setHandler(approveSignal, (approval) => migration.approve(approval), {
    description: 'Lets one node be migrated: {"node", "approver", "reason"}',
  });
  try {
    return await migration.run(raw);
  } catch (error) {
    throw operatorFailure(error);
  }
}

class ClusterMigration {
  status: MigrationStatus = { cluster: '', phase: 'preflight', nodes: [], timeline: [], notes: [] };
  private readonly approvals = new Map<string, NonNullable<NodeStatus['approval']>>();

  /** Keeps an approval, known node or not: the nodes may not have been read yet. */
  approve(approval: Partial<Approval> | null | undefined): void {
    const node = approval?.node;
    if (typeof node !== 'string' || node === '') {
      this.note(`an approval without a node was ignored: ${JSON.stringify(approval ?? null).slice(0, 200)}`);
      return;
    }
    if (this.status.nodes.length > 0 && this.node(node) === undefined) {
      this.note(`an approval of ${node.slice(0, 253)} was ignored: the cluster has no such node`);
      return;
    }
    const text = (value: unknown, otherwise: string): string =>
      typeof value === 'string' ? value.slice(0, 500) : otherwise;
    if (!this.approvals.has(node)) {
      this.approvals.set(node, {
        approver: text(approval?.approver, 'unnamed'),
        reason: text(approval?.reason, ''),
        at: new Date().toISOString(),
      });
    }
    this.show();
  }

  async run(raw: unknown): Promise<MigrationReport> {
    const input = this.parse(raw);
    this.status.cluster = input.cluster;
    this.enter('preflight');
    const facts = await preflight.inspectCluster.executeWithOptions({ summary: 'read the cluster' }, [
      { cluster: input.cluster },
    ]);
    const { canal } = facts;
    // Canal is removed last, so without it nothing is left to do.
    if (canal === undefined) return this.report(false);
    this.status.nodes = nodeOrder(facts.nodes).map((name) => ({ name, state: 'pending' }));
    for (const node of this.approvals.keys()) {
      if (this.node(node) === undefined) this.note(`an approval of ${node} was ignored: the cluster has no such node`);
    }
    // After the cut-over of an earlier run, going back to coexistence would take the nodes' CNI away.
    if (!facts.ciliumOwnsCni) {
      this.refuse(facts, input);
      this.enter('coexistence');
      await this.coexistence(input, canal.podCidr);
      this.enter('migrate');
      for (const node of this.status.nodes) await this.migrateNode(node, input);
    }
    this.enter('cut-over');
    await this.cutOver(input);
    this.enter('clean-up');
    const { cluster } = input;
    await patient.removeHelpers.executeWithOptions({ summary: 'remove helpers and labels' }, [{ cluster }]);
    await patient.removeCanal.executeWithOptions({ summary: 'remove Canal' }, [{ cluster }]);
    return this.report(true);
  }

  private parse(raw: unknown): MigrationInput {
    const parsed = parseInput(raw);
    const problems =
      'problems' in parsed
        ? parsed.problems
        : conflictingValues(parsed.input).map((path) => `values.${path}: is set by the migration itself; leave it out`);
    if ('input' in parsed && problems.length === 0) return parsed.input;
    throw ApplicationFailure.nonRetryable(`the input is not a migration:\n${problems.join('\n')}`, 'InvalidInput');
  }

  /** Ends the run, before anything was changed, when the cluster cannot be migrated with this input. */
  private refuse(facts: ClusterFacts, input: MigrationInput): void {
    const found = objections(facts, input);
    const [first] = found;
    if (first === undefined) return;
    throw ApplicationFailure.nonRetryable(found.map(({ message }) => message).join('\n'), first.type);
  }

  private async coexistence(input: MigrationInput, sourcePodCidr: string): Promise<void> {
    const { cluster, podCidr, proberImage } = input;
    await helm.applyHelmRelease.executeWithOptions({ summary: 'install Cilium beside Canal' }, [
      { cluster, chart: input.chart, version: input.chartVersion, values: coexistenceValues(input) },
    ]);
    await quick.checkCiliumConfig.executeWithOptions({ summary: 'check what the chart rendered' }, [
      { cluster, expected: expectedConfig(input) },
    ]);
    await patient.waitForAgents.executeWithOptions({ summary: 'agents ready on every node' }, [{ cluster }]);
    await quick.applyNodeConfig.executeWithOptions({ summary: 'CiliumNodeConfig' }, [{ cluster }]);
    await patient.deployHelpers.executeWithOptions({ summary: 'NAT exemption and probers' }, [
      { cluster, sourcePodCidr, targetPodCidr: podCidr, proberImage },
    ]);
  }

  private async migrateNode(node: NodeStatus, input: MigrationInput): Promise<void> {
    const seen = await quick.observeNode.executeWithOptions({ summary: `${node.name}: observe` }, [
      { cluster: input.cluster, node: node.name, targetPodCidr: input.podCidr },
    ]);
    if (seen.flipped && !seen.cordonedByUs && seen.podsOnSource.length === 0) {
      node.state = 'migrated';
      this.note(`${node.name} had been migrated before`);
      return;
    }
    if (input.approval === 'every-node') await this.approvalOf(node);
    node.state = 'migrating';
    this.show();
    const start = Date.now();
    try {
      await executeChild(nodeMigration, {
        workflowId: `${workflowInfo().workflowId}/node/${node.name}`,
        args: [{ node: node.name, migration: input }],
        // A parent that ends early lets its child give the node back.
        parentClosePolicy: ParentClosePolicy.REQUEST_CANCEL,
        staticSummary: `${node.name}: Canal to Cilium`,
      });
    } catch (error) {
      node.state = 'failed';
      this.show();
      throw error;
    }
    node.state = 'migrated';
    node.seconds = Math.round((Date.now() - start) / 1000);
    this.show();
  }

  private async approvalOf(node: NodeStatus): Promise<void> {
    if (!this.approvals.has(node.name)) {
      node.state = 'awaiting-approval';
      this.status.waitingFor = `approval of node ${node.name}`;
      this.show();
      await condition(() => this.approvals.has(node.name));
      delete this.status.waitingFor;
    }
    const approval = this.approvals.get(node.name);
    if (approval !== undefined) node.approval = approval;
  }

  private async cutOver(input: MigrationInput): Promise<void> {
    const { cluster } = input;
    await patient.requireAllPodsOnTarget.executeWithOptions({ summary: 'no pod is left on Canal' }, [
      { cluster, targetPodCidr: input.podCidr },
    ]);
    await helm.applyHelmRelease.executeWithOptions({ summary: 'final values' }, [
      { cluster, chart: input.chart, version: input.chartVersion, values: finalValues(input) },
    ]);
    await patient.restartAgents.executeWithOptions({ summary: 'restart agents one by one' }, [{ cluster }]);
    // Only now: an agent that restarts without the node's own configuration and without the final one writes no CNI file.
    await quick.removeNodeConfig.executeWithOptions({ summary: 'remove CiliumNodeConfig' }, [{ cluster }]);
  }

  private node(name: string): NodeStatus | undefined {
    return this.status.nodes.find((node) => node.name === name);
  }

  private note(text: string): void {
    this.status.notes = [...this.status.notes, text].slice(-maxNotes);
    this.show();
  }

  private enter(phase: Phase): void {
    const now = new Date();
    const current = this.status.timeline.at(-1);
    if (current !== undefined) current.seconds = (now.getTime() - new Date(current.startedAt).getTime()) / 1000;
    this.status.phase = phase;
    this.status.timeline.push({ phase, startedAt: now.toISOString() });
    this.show();
  }

  private report(changed: boolean): MigrationReport {
    this.enter('done');
    return { ...this.status, changed };
  }

  private show(): void {
    setCurrentDetails(statusMarkdown(this.status, approveCommand));
  }
}

/** The Temporal CLI command that approves a node. */
function approveCommand(node: string): string {
  return `temporal workflow signal --workflow-id '${workflowInfo().workflowId}' --name approve --input '${JSON.stringify({ node, approver: 'YOUR NAME' })}'`;
}
