import type { Client } from '@temporalio/client';
import { withApiVersion } from '../../model/api-version.ts';
import type { clusterMigration } from '../../workflows/index.ts';
import { ledgerQuery, policiesQuery, preflightQuery, statusQuery } from '../../workflows/messages.ts';
import { defaultTimeoutMs } from '../time-limit.ts';
import { queryCompleteStatus } from '../status-pages.ts';
import { WorkflowRequests } from '../workflow-requests.ts';
import type { ReportData } from './data.ts';

/**
 * Collects the data of a migration's report. A completed migration needs no worker for it, unless it has more than 1,000
 * nodes; others are queried.
 * @param options time of the report, and time limit of each request in ms.
 */
export async function collectReport(
  client: Client,
  workflowId: string,
  { now = new Date(), timeoutMs = defaultTimeoutMs }: { now?: Date; timeoutMs?: number } = {}
): Promise<ReportData> {
  const requests = new WorkflowRequests<typeof clusterMigration>(client, workflowId, timeoutMs);
  const { status: execution } = await requests.describe();
  const base = withApiVersion({ workflowId, outcome: execution.name, createdAt: now.toISOString() });
  if (execution.name === 'COMPLETED') {
    const report = await requests.result();
    const isPartial = report.nodeCounts !== undefined;
    const status = isPartial ? await queryCompleteStatus((page) => requests.query(statusQuery, page)) : report;
    const { preflight = [], policies, ledger = {}, calicoExport = [] } = report;
    return { ...base, status, preflight, policies, ledger, calicoExport };
  }
  return {
    ...base,
    status: await queryCompleteStatus((page) => requests.query(statusQuery, page)),
    preflight: (await requests.query(preflightQuery)) ?? [],
    policies: await requests.query(policiesQuery),
    ledger: await requests.query(ledgerQuery),
    calicoExport: [],
    failure: (await requests.ending())?.failure,
  };
}
