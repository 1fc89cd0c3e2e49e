import { WorkflowNotFoundError, isGrpcServiceError, type Client } from '@temporalio/client';
import type { temporal } from '@temporalio/proto';
import { failure } from '../../activities/support/failures.ts';

/** A run of a workflow, as Temporal knows it. None of this changes while the run exists. */
export interface Run {
  workflowId: string;
  runId: string;
  workflowType: string;
  taskQueue: string;
  /** ID of the first run, which stays the same across continue-as-new. */
  firstRunId: string;
  /** Run that started it as its child. */
  parent?: RunId | undefined;
}

/** IDs of a run. */
export interface RunId {
  workflowId: string;
  runId: string;
}

/** Reads a run; undefined for one that Temporal does not know. */
export type ReadRun = (id: RunId) => Promise<Run | undefined>;

/** Maximum number of runs that are kept, so that Temporal is asked once for each. */
const maxKept = 2_000;

/** Maximum time for Temporal's answer, in ms. */
const answerTimeoutMs = 10_000;

/** Codes of gRPC: the run does not exist, or its ID is not one. */
const unknownRunCodes: readonly number[] = [5, 3];

/**
 * Returns a function that asks Temporal for a run, and keeps the answer, which does not change.
 * @throws CallerUnknown (retryable) when Temporal does not answer.
 */
export function createRunReader(client: Client): ReadRun {
  const kept = new Map<string, Run>();
  return async ({ workflowId, runId }) => {
    const known = kept.get(runId);
    if (known?.workflowId === workflowId) return known;
    const run = await readRun(client, { workflowId, runId });
    if (run === undefined) return undefined;
    const [oldest] = kept.keys();
    if (kept.size >= maxKept && oldest !== undefined) kept.delete(oldest);
    kept.set(runId, run);
    return run;
  };
}

async function readRun(client: Client, execution: RunId): Promise<Run | undefined> {
  const request = { namespace: client.options.namespace, execution };
  try {
    const describe = () => client.workflowService.describeWorkflowExecution(request);
    const { workflowExecutionInfo } = await client.withDeadline(Date.now() + answerTimeoutMs, describe);
    return parseRun(execution, workflowExecutionInfo ?? {});
  } catch (error) {
    if (isUnknownRun(error)) return undefined;
    throw unanswered(error);
  }
}

function parseRun(id: RunId, info: temporal.api.workflow.v1.IWorkflowExecutionInfo): Run {
  const { workflowId, runId } = info.parentExecution ?? {};
  return {
    ...id,
    workflowType: info.type?.name ?? '',
    taskQueue: info.taskQueue ?? '',
    firstRunId: info.firstRunId ?? '',
    parent: workflowId && runId ? { workflowId, runId } : undefined,
  };
}

function isUnknownRun(error: unknown): boolean {
  if (error instanceof WorkflowNotFoundError) return true;
  return isGrpcServiceError(error) && unknownRunCodes.includes(error.code);
}

/** Returns the failure for a question that Temporal did not answer. */
export function unanswered(error: unknown): Error {
  const reason = error instanceof Error ? error.message : String(error);
  const advice = 'check that Temporal runs, and that the worker may describe workflows';
  return failure('CallerUnknown', `cannot ask Temporal which run requests this step: ${reason}; ${advice}`, {
    retryable: true,
  });
}
