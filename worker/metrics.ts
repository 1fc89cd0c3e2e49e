import type { Client } from '@temporalio/client';
import type { MetricGauge, MetricMeter } from '@temporalio/common';
import { ledgerQuery, statusQuery } from '../workflows/messages.ts';
import { byKind, ledgerStages, type Ledger } from '../model/ledger.ts';
import { pendingNeeds } from '../model/pending-needs.ts';
import { nodeCounts } from '../model/status-view.ts';
import type { MigrationStatus } from '../model/status.ts';
import { needs } from '../model/wait.ts';

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
  cni_migration_waiting_seconds: 'seconds since the start of the longest wait for what is needed; 0 without one',
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
  const { cluster, phase, paused } = status;
  const nodes = Object.entries(nodeCounts(status));
  const pending = pendingNeeds(status);
  const waitSeconds = needs.map((need) => {
    const starts = pending.filter((wait) => wait.need === need).map(({ since }) => Date.parse(since));
    return { need, seconds: starts.length === 0 ? 0 : Math.max(0, (nowMs - Math.min(...starts)) / 1_000) };
  });
  return [
    { gauge: 'cni_migration_phase', tags: { cluster, phase }, value: 1 },
    ...nodes.map(([state, value]): Sample => ({ gauge: 'cni_migration_nodes', tags: { cluster, state }, value })),
    ...waitSeconds.map(({ need, seconds }): Sample => ({
      ...{ gauge: 'cni_migration_waiting_seconds', tags: { cluster, needs: need }, value: seconds },
    })),
    { gauge: 'cni_migration_paused', tags: { cluster }, value: paused === undefined ? 0 : 1 },
    ...ledgerStages.flatMap((stage) =>
      byKind(ledger[stage] ?? []).flatMap(({ kind, lostMs, longestMs }): Sample[] => [
        { gauge: 'cni_migration_lost_ms', tags: { cluster, path: kind, stage }, value: lostMs },
        { gauge: 'cni_migration_longest_gap_ms', tags: { cluster, path: kind, stage }, value: longestMs },
      ])
    ),
  ];
}

/** What the last update read of one migration. */
interface Reading {
  /** Identifies the state of the run that was read: its run ID and the length of its history. */
  version: string;
  status: MigrationStatus;
  ledger: Ledger;
}

/**
 * Keeps the gauges of all open migrations in sync. A migration is queried only if its history has grown since the last
 * update: a migration that waits costs no query, and stays out of the workers' cache. Every worker reads the same
 * values, so with several workers the value of any one, or the maximum, is correct.
 */
export class MigrationMetrics {
  private readonly client: Client;
  private readonly meter: MetricMeter;
  private readonly createdGauges = new Map<GaugeName, MetricGauge>();
  /** Last samples, which are set to 0 once they are no longer reported. */
  private reported = new Map<string, Sample>();
  /** Last answers, by workflow ID. */
  private readings = new Map<string, Reading>();

  constructor(client: Client, meter: MetricMeter) {
    this.client = client;
    this.meter = meter;
  }

  /**
   * Reads the status of every open migration that has changed. A migration that does not answer within 5 s has no
   * samples in this round.
   */
  async update(): Promise<void> {
    const readings = new Map<string, Reading>();
    const query = 'WorkflowType = "clusterMigration" AND ExecutionStatus = "Running"';
    for await (const { workflowId } of this.client.workflow.list({ query })) {
      const reading = await this.read(workflowId);
      if (reading !== undefined) readings.set(workflowId, reading);
    }
    this.readings = readings;
    const current = new Map<string, Sample>();
    for (const { status, ledger } of readings.values()) {
      for (const sample of buildSamples(status, ledger, Date.now())) current.set(sampleKey(sample), sample);
    }
    for (const [key, sample] of this.reported) if (!current.has(key)) this.report({ ...sample, value: 0 });
    for (const sample of current.values()) this.report(sample);
    this.reported = current;
  }

  private async read(workflowId: string): Promise<Reading | undefined> {
    const handle = this.client.workflow.getHandle(workflowId);
    const last = this.readings.get(workflowId);
    try {
      return await this.client.withDeadline(Date.now() + 5_000, async () => {
        const { runId, historyLength, status } = await handle.describe();
        // The list may lag behind.
        if (status.name !== 'RUNNING') return undefined;
        const version = `${runId} ${historyLength}`;
        if (last?.version === version) return last;
        return { version, status: await handle.query(statusQuery), ledger: await handle.query(ledgerQuery) };
      });
    } catch {
      // The migration has just ended, or its worker is busy: the next update reads it again.
      return undefined;
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
