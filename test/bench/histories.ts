import type { Client } from '@temporalio/client';
import type { temporal } from '@temporalio/proto';
import { rounded } from './results.ts';

/** Load of a migration on Temporal. */
export interface HistoryFigures {
  /** Number of runs of the cluster's workflow: the first one, and one for each continue-as-new. */
  runs: number;
  /** Size of the largest of these runs. */
  largestEvents: number;
  largestKiB: number;
  /** Events of the largest workflow of a node. */
  nodeEvents: number;
  /** Temporal's actions: workflows, activities, timers, signals, search attributes. */
  actionsPerNode: number;
}

interface History {
  workflowId: string;
  events: number;
  bytes: number;
  actions: number;
}

/** Reads the histories of a migration and of its nodes. */
export async function readHistories(client: Client, workflowId: string, nodes: number) {
  const clusterRuns = await listRuns(client, workflowId, 'clusterMigration');
  const nodeRuns = await listRuns(client, workflowId, 'nodeMigration');
  const actions = [...clusterRuns, ...nodeRuns].reduce((sum, run) => sum + run.actions, 0);
  const figures: HistoryFigures = {
    runs: clusterRuns.length,
    largestEvents: Math.max(...clusterRuns.map(({ events }) => events)),
    largestKiB: Math.round(Math.max(...clusterRuns.map(({ bytes }) => bytes)) / 1_024),
    nodeEvents: Math.max(...nodeRuns.map(({ events }) => events)),
    actionsPerNode: rounded(actions / nodes),
  };
  return { figures, childIds: nodeRuns.map((run) => run.workflowId) };
}

/** Returns every run of a migration's workflow, or of its nodes' workflows. */
async function listRuns(client: Client, workflowId: string, type: string): Promise<History[]> {
  const runs: History[] = [];
  const query = `WorkflowType = '${type}' AND WorkflowId STARTS_WITH '${workflowId}'`;
  for await (const { workflowId: id, runId, historyLength, historySize } of client.workflow.list({ query })) {
    const { events } = await client.workflow.getHandle(id, runId).fetchHistory();
    const actions = (events ?? []).filter(isAction).length;
    runs.push({ workflowId: id, events: historyLength, bytes: historySize ?? 0, actions });
  }
  return runs;
}

/** True for an action as Temporal Cloud counts them, as far as these workflows have such actions. */
function isAction(event: temporal.api.history.v1.IHistoryEvent): boolean {
  return [
    event.workflowExecutionStartedEventAttributes,
    event.activityTaskScheduledEventAttributes,
    event.timerStartedEventAttributes,
    event.workflowExecutionSignaledEventAttributes,
    event.upsertWorkflowSearchAttributesEventAttributes,
  ].some((attributes) => attributes !== null && attributes !== undefined);
}
