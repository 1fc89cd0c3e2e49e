/** Error for a request that nobody can answer: no worker polls the task queue. Nothing was sent. */
export class NoWorkerError extends Error {
  override name = 'NoWorkerError';
  readonly taskQueue: string;

  constructor(taskQueue: string) {
    super(`no worker polls the task queue "${taskQueue}": start a worker, or check its task queue and its namespace`);
    this.taskQueue = taskQueue;
  }
}

/** Error for a request that was sent and got no answer in time. */
export class NoAnswerError extends Error {
  override name = 'NoAnswerError';
  /** True when the request may still take effect. */
  readonly mayTakeEffect: boolean;

  /** @param consequence what may still happen, and what to do. */
  constructor(
    request: string,
    { timeoutMs, consequence, mayTakeEffect }: { timeoutMs: number; consequence: string; mayTakeEffect: boolean },
    cause?: unknown
  ) {
    super(`${request} got no answer within ${Number((timeoutMs / 1_000).toFixed(1))} s: ${consequence}`, { cause });
    this.mayTakeEffect = mayTakeEffect;
  }
}

/**
 * Error for a message whose answer cannot be read, such as one that is encrypted with a key that this process lacks. The
 * message was applied or refused.
 */
export class UnreadableAnswerError extends Error {
  override name = 'UnreadableAnswerError';

  constructor(request: string, cause: Error) {
    super(`${request} was applied or refused, but the answer cannot be read; check the status: ${cause.message}`, {
      cause,
    });
  }
}

/** Error for a message to a workflow that has ended. Nothing was sent. */
export class WorkflowEndedError extends Error {
  override name = 'WorkflowEndedError';

  /** @param status status of the workflow, such as COMPLETED. */
  constructor(workflowId: string, status: string) {
    super(`${workflowId} has ended (${status}): it receives no more messages`);
  }
}
