import {
  WorkflowFailedError,
  type Client,
  type WorkflowExecutionDescription,
  type WorkflowHandle,
} from '@temporalio/client';
import {
  ValueError,
  type QueryDefinition,
  type UpdateDefinition,
  type Workflow,
  type WorkflowResultType,
} from '@temporalio/common';
import { NoAnswerError, UnreadableAnswerError, WorkflowEndedError } from './errors.ts';
import { unreachable, whileServerAnswers, withTimeLimit } from './time-limit.ts';
import { waitForWorker } from './workers.ts';

/** How a workflow has ended. */
export interface Ending {
  /** Status of the workflow, such as COMPLETED, FAILED or TERMINATED. */
  status: string;
  /** Message of its failure; undefined when it has not failed. */
  failure?: string;
}

/** Requests to one workflow, each with a time limit. */
export class WorkflowRequests<Type extends Workflow> {
  readonly client: Client;
  readonly workflowId: string;
  readonly timeoutMs: number;

  constructor(client: Client, workflowId: string, timeoutMs: number) {
    this.client = client;
    this.workflowId = workflowId;
    this.timeoutMs = timeoutMs;
  }

  private get handle(): WorkflowHandle<Type> {
    return this.client.workflow.getHandle<Type>(this.workflowId);
  }

  /**
   * Sends a query.
   * @throws WorkflowNotFoundError when there is no such workflow.
   * @throws TemporalUnreachable when the server does not answer in time.
   * @throws NoWorkerError when no worker could answer.
   * @throws NoAnswerError when no worker has answered in time.
   */
  async query<Answer, Args extends unknown[]>(
    definition: QueryDefinition<Answer, Args>,
    ...args: Args
  ): Promise<Answer> {
    const endMs = Date.now() + this.timeoutMs;
    const { taskQueue } = await this.describe(endMs);
    await waitForWorker(this.client, taskQueue, endMs);
    return withTimeLimit(
      this.client,
      endMs,
      () => this.handle.query<Answer, Args>(definition, ...args),
      (cause) => this.noAnswer(`query "${definition.name}"`, 'check that a worker is running', false, cause)
    );
  }

  /**
   * Sends an update and waits for its answer. The time limit applies to its acceptance, and again to its answer.
   * @returns text with the effect of the message.
   * @throws WorkflowUpdateFailedError with the reason when the message is refused.
   * @throws WorkflowEndedError when the workflow has ended.
   * @throws NoAnswerError when the message was sent and may still take effect.
   * @throws UnreadableAnswerError when the message was applied or refused, and the answer cannot be read.
   * @throws WorkflowNotFoundError, TemporalUnreachable and NoWorkerError as `query` does; nothing was sent then.
   */
  async update<Message>(definition: UpdateDefinition<string, [Message]>, message: Message): Promise<string> {
    const { client, timeoutMs } = this;
    const endMs = Date.now() + timeoutMs;
    const { closeTime, status, taskQueue } = await this.describe(endMs);
    if (closeTime !== undefined) throw new WorkflowEndedError(this.workflowId, status.name);
    await waitForWorker(client, taskQueue, endMs);
    const request = `message "${definition.name}"`;
    const update = await withTimeLimit(
      client,
      endMs,
      () => this.handle.startUpdate<string, [Message]>(definition, { args: [message], waitForStage: 'ACCEPTED' }),
      (cause) => {
        const consequence =
          'the server may have it, and a worker may still apply it; check the status before you repeat it';
        return this.noAnswer(request, consequence, true, cause);
      }
    );
    try {
      return await withTimeLimit(
        client,
        Date.now() + timeoutMs,
        () => update.result(),
        (cause) => this.noAnswer(request, 'it was accepted, and is applied as soon as a worker runs', true, cause)
      );
    } catch (error) {
      throw error instanceof ValueError ? new UnreadableAnswerError(request, error) : error;
    }
  }

  /**
   * Waits for the result, for as long as the workflow runs and the server answers.
   * @throws WorkflowFailedError when the workflow fails; the cause has the type and the message.
   * @throws TemporalUnreachable when the server does not answer for the time limit.
   */
  result(): Promise<WorkflowResultType<Type>> {
    return whileServerAnswers(this.client, this.timeoutMs, () => this.handle.result());
  }

  /**
   * Returns the description of the latest run. Needs no worker.
   * @param endMs time at which the answer must be there, in ms since the epoch. @default the time limit from now
   * @throws WorkflowNotFoundError and TemporalUnreachable as `query` does.
   */
  describe(endMs = Date.now() + this.timeoutMs): Promise<WorkflowExecutionDescription> {
    return withTimeLimit(
      this.client,
      endMs,
      () => this.handle.describe(),
      (cause) => unreachable(this.client, cause)
    );
  }

  /**
   * Returns how the latest run has ended; undefined while it is open. Needs no worker.
   * @throws WorkflowNotFoundError and TemporalUnreachable as `query` does.
   */
  async ending(): Promise<Ending | undefined> {
    const { closeTime, status } = await this.describe();
    if (closeTime === undefined) return undefined;
    const failure = status.name === 'FAILED' ? await this.readFailure() : undefined;
    return { status: status.name, ...(failure !== undefined && { failure }) };
  }

  private async readFailure(): Promise<string | undefined> {
    try {
      await this.result();
      return undefined;
    } catch (error) {
      if (!(error instanceof WorkflowFailedError)) throw error;
      return error.cause?.message ?? error.message;
    }
  }

  private noAnswer(request: string, consequence: string, mayTakeEffect: boolean, cause: unknown): NoAnswerError {
    return new NoAnswerError(request, { timeoutMs: this.timeoutMs, consequence, mayTakeEffect }, cause);
  }
}
