import { WorkflowFailedError, type Client } from '@temporalio/client';
import { withApiVersion } from '../../model/api-version.ts';
import type { clusterMigration } from '../../workflows/index.ts';
import { ledgerQuery, policiesQuery, preflightQuery, statusQuery } from '../../workflows/messages.ts';
import { queryCompleteStatus } from '../status-pages.ts';
import type { ReportData } from './data.ts';

/**
 * Collects the data of a migration's report. A completed migration needs no worker for it, unless it has more than 1,000
 * nodes; others are queried.
 */
export async function collectReport(client: Client, workflowId: string, now = new Date()): Promise<ReportData> {
  const handle = client.workflow.getHandle<typeof clusterMigration>(workflowId);
  const { status: execution } = await handle.describe();
  const base = withApiVersion({ workflowId, outcome: execution.name, createdAt: now.toISOString() });
  if (execution.name === 'COMPLETED') {
    const report = await handle.result();
    const isPartial = report.nodeCounts !== undefined;
    const status = isPartial ? await queryCompleteStatus((page) => handle.query(statusQuery, page)) : report;
    const { preflight = [], policies, ledger = {}, calicoExport = [] } = report;
    return { ...base, status, preflight, policies, ledger, calicoExport };
  }
  const failure = execution.name === 'FAILED' ? await readFailureMessage(() => handle.result()) : undefined;
  return {
    ...base,
    status: await queryCompleteStatus((page) => handle.query(statusQuery, page)),
    preflight: (await handle.query(preflightQuery)) ?? [],
    policies: await handle.query(policiesQuery),
    ledger: await handle.query(ledgerQuery),
    calicoExport: [],
    failure,
  };
}

async function readFailureMessage(result: () => Promise<unknown>): Promise<string | undefined> {
  try {
    await result();
    return undefined;
  } catch (error) {
    if (!(error instanceof WorkflowFailedError)) throw error;
    return error.cause?.message ?? error.message;
  }
}
