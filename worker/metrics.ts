import type { Client } from '@temporalio/client';
import type { MetricGauge, MetricMeter } from '@temporalio/common';
import { ledgerQuery, statusQuery } from '../workflows/messages.ts';
import { byKind, ledgerStages, type Ledger } from '../model/ledger.ts';
import { nodeCounts } from '../model/status-view.ts';
import type { MigrationStatus } from '../model/status.ts';

/** One value of a gauge. */
export interface Sample {
  gauge: GaugeName;
  tags: Readonly<Record<string, string>>;
  value: number;
}

/** Names and descriptions of the gauges. */
export const gauges = {
  cni_migration_phase: '1 for the current phase of the migration',
  cni_migration_nodes: 'number of nodes in each state',
  cni_migration_waiting_seconds: 'seconds since the start of the current wait; 0 when the migration does not wait',
  cni_migration_paused: '1 while the migration is paused',
  cni_migration_lost_ms: 'milliseconds without an answer, summed over all paths of a kind, by stage',
  cni_migration_longest_gap_ms: 'longest gap of any path of a kind in milliseconds, by stage',
} as const;

type GaugeName = keyof typeof gauges;

/**
 * Returns the samples of one migration.
 * @param nowMs Unix ms.
 */
export function buildSamples(status: MigrationStatus, ledger: Ledger, nowMs: number): Sample[] {
  const { cluster, phase, waiting, paused } = status;
  const nodes = Object.entries(nodeCounts(status));
  const seconds = waiting === undefined ? 0 : Math.max(0, (nowMs - Date.parse(waiting.since)) / 1_000);
  return [
    { gauge: 'cni_migration_phase', tags: { cluster, phase }, value: 1 },
    ...nodes.map(([state, value]): Sample => ({ gauge: 'cni_migration_nodes', tags: { cluster, state }, value })),
    { gauge: 'cni_migration_waiting_seconds', tags: { cluster }, value: seconds },
    { gauge: 'cni_migration_paused', tags: { cluster }, value: paused === undefined ? 0 : 1 },
    ...ledgerStages.flatMap((stage) =>
      byKind(ledger[stage] ?? []).flatMap(({ kind, lostMs, longestMs }): Sample[] => [
        { gauge: 'cni_migration_lost_ms', tags: { cluster, path: kind, stage }, value: lostMs },
        { gauge: 'cni_migration_longest_gap_ms', tags: { cluster, path: kind, stage }, value: longestMs },
      ])
    ),
  ];
}

/**
 * Keeps the gauges of all open migrations in sync, with queries to the migrations. Every worker reads the same values,
 * so with several workers the value of any one, or the maximum, is correct.
 */
export class MigrationMetrics {
  private readonly client: Client;
  private readonly meter: MetricMeter;
  private readonly createdGauges = new Map<GaugeName, MetricGauge>();
  /** Last samples, which are set to 0 once they are no longer reported. */
  private reported = new Map<string, Sample>();

  constructor(client: Client, meter: MetricMeter) {
    this.client = client;
    this.meter = meter;
  }

  /**
   * Reads the status of every open migration once. A migration that does not answer within 5 s has no samples in this
   * round.
   */
  async update(): Promise<void> {
    const current = new Map<string, Sample>();
    const query = 'WorkflowType = "clusterMigration" AND ExecutionStatus = "Running"';
    for await (const { workflowId } of this.client.workflow.list({ query })) {
      for (const sample of await this.querySamples(workflowId)) current.set(sampleKey(sample), sample);
    }
    for (const [key, sample] of this.reported) if (!current.has(key)) this.report({ ...sample, value: 0 });
    for (const sample of current.values()) this.report(sample);
    this.reported = current;
  }

  private async querySamples(workflowId: string): Promise<Sample[]> {
    const handle = this.client.workflow.getHandle(workflowId);
    try {
      return await this.client.withDeadline(Date.now() + 5_000, async () =>
        buildSamples(await handle.query(statusQuery), await handle.query(ledgerQuery), Date.now())
      );
    } catch {
      // The migration has just ended, or its worker is busy: the next update reads it again.
      return [];
    }
  }

  private report({ gauge, tags, value }: Sample): void {
    let metric = this.createdGauges.get(gauge);
    if (metric === undefined) {
      metric = this.meter.createGauge(gauge, 'float', undefined, gauges[gauge]);
      this.createdGauges.set(gauge, metric);
    }
    metric.set(value, tags);
  }
}

function sampleKey({ gauge, tags }: Sample): string {
  return `${gauge} ${JSON.stringify(tags)}`;
}
