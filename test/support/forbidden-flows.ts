import type { V1ConfigMapList } from '@kubernetes/client-node';
import type { Lab } from '../../lab/cluster/lab.ts';
import type { NodeLedger, PathRecord } from '../../model/ledger.ts';
import { read } from './reads.ts';
import { listPods } from './pod-networks.ts';
import type { TemporalCli } from './temporal-cli.ts';
import { activitiesRunningAt, type WorkflowHistory } from './workflow-history.ts';

/** Returns the probers' records of every path, by the prober's ConfigMap and role. */
export async function readLedgerRecords(lab: Lab): Promise<{ prober: string; records: PathRecord[] }[]> {
  const maps = await read<V1ConfigMapList>(lab, 'configmaps', '-n', 'cni-live-migration', '-l', 'app=ledger');
  return maps.items.flatMap(({ metadata, data = {} }) =>
    Object.entries(data).map(([role, page]) => ({
      prober: `${metadata?.name} ${role}`,
      records: (JSON.parse(page) as { records: NodeLedger['records'] | null }).records ?? [],
    }))
  );
}

/**
 * Returns the flows that a policy forbids and that were answered: the flow, the start, the duration, and facts for the
 * diagnosis: what the migration was doing then, and since when the probers of both ends ran.
 * @returns a line for each time; none when policies always held.
 */
export async function answeredForbiddenFlows(lab: Lab, cli: TemporalCli): Promise<string[]> {
  const answered = (await readLedgerRecords(lab)).flatMap(({ prober, records }) =>
    records
      .filter(({ kind, lost = 0 }) => kind === 'pod-pod/denied' && lost > 0)
      .flatMap(({ from, to, peer, gaps = [], lastError }) =>
        gaps.map(([startMs, ms, lost]) => ({
          startMs,
          flow: `${prober} (${from}) to ${peer} (${to})`,
          ms,
          lost,
          lastError,
        }))
      )
  );
  if (answered.length === 0) return [];
  const histories = await allHistories(cli);
  const probers = (await listPods(lab, '-n', 'cni-live-migration', '-l', 'app=prober')).map(
    ({ metadata, spec, status }) => `${metadata?.name} on ${spec?.nodeName} since ${String(status?.startTime)}`
  );
  return answered.map(({ startMs, flow, ms, lost, lastError }) => {
    const doing = histories.flatMap(({ workflow, history }) =>
      activitiesRunningAt(history, startMs).map(({ name }) => `${workflow} ${name}`)
    );
    return (
      `${flow}: ${lost} answers from ${new Date(startMs).toISOString()} for ${ms} ms (${lastError}); ` +
      `running: ${doing.join(', ') || 'nothing'}; probers: ${probers.join(', ')}`
    );
  });
}

/** Returns the histories of the migration and of all its nodes' workflows, including rollbacks. */
async function allHistories(cli: TemporalCli): Promise<{ workflow: string; history: WorkflowHistory }[]> {
  const cluster = await cli.history();
  const nodes = cluster.children.map(async ({ workflowId, runId }) => ({
    workflow: workflowId.split('/').at(-1) ?? workflowId,
    history: await cli.history(workflowId, runId),
  }));
  return [{ workflow: 'cluster', history: cluster }, ...(await Promise.all(nodes))];
}
