import { randomUUID } from 'node:crypto';
import { defaultPayloadConverter, type Payload } from '@temporalio/common';
import { coresdk } from '@temporalio/proto';
import { parseWorkflowCode } from '@temporalio/worker/lib/worker.js';
import { ReusableVMWorkflowCreator } from '@temporalio/worker/lib/workflow/reusable-vm.js';
import type { Workflow, WorkflowCreateOptions } from '@temporalio/worker/lib/workflow/interface.js';
import { plainBundle } from './workflow-server.ts';

type Job = coresdk.workflow_activation.IWorkflowActivationJob;
type Command = coresdk.workflow_commands.IWorkflowCommand;

/** Time limit of the SDK for one run of workflow code in its sandbox, in ms. */
const isolateTimeoutMs = 5_000;

/** Activities by name, as far as a sandboxed workflow calls them. An activity that is missing never ends. */
export type SandboxActivities = Readonly<Record<string, ((...args: never[]) => unknown) | undefined>>;

/** Options of {@link Sandbox.start}. */
export interface StartOptions {
  type: string;
  args: readonly unknown[];
  activities: SandboxActivities;
  /** @default none: an operator has started the workflow */
  parent?: { workflowId: string; runId: string };
  /** True for the next run of a workflow that has continued as new. @default false */
  continued?: boolean;
  /** Jobs that its first task receives in addition. @default none */
  jobs?: readonly Job[];
}

/** Starts workflows in the SDK's own sandbox, without a server: with their converter, interceptors and handlers. */
export class Sandbox {
  private readonly creator: ReusableVMWorkflowCreator;
  private readonly open = new Set<SandboxedWorkflow>();

  private constructor(creator: ReusableVMWorkflowCreator) {
    this.creator = creator;
  }

  /** @param activityNames names of all activities. */
  static async create(activityNames: readonly string[]): Promise<Sandbox> {
    const bundle = await plainBundle();
    if (!('code' in bundle)) throw new Error('the bundle is in a file');
    const { code } = bundle;
    return new Sandbox(
      await ReusableVMWorkflowCreator.create(parseWorkflowCode(code), isolateTimeoutMs, new Set(activityNames))
    );
  }

  /** Starts a workflow, and runs it until it waits for something that does not happen. */
  async start({
    type,
    args,
    activities,
    parent,
    continued = false,
    jobs = [],
  }: StartOptions): Promise<SandboxedWorkflow> {
    const [workflowId, runId] = [`${type}-${randomUUID()}`, randomUUID()];
    const info = {
      ...{ workflowId, runId, workflowType: type, firstExecutionRunId: runId, originalExecutionRunId: runId },
      ...{ taskQueue: 'queue', namespace: 'default', attempt: 1, taskTimeoutMs: 10_000 },
      ...{ startTime: new Date(), runStartTime: new Date(), searchAttributes: {}, historyLength: 3, historySize: 300 },
      ...(parent !== undefined && { parent: { ...parent, namespace: 'default' } }),
      ...(continued && { continuedFromExecutionRunId: randomUUID() }),
      ...{ continueAsNewSuggested: false, unsafe: { isReplaying: false } },
    } as unknown as WorkflowCreateOptions['info'];
    const options = { info, randomnessSeed: [1, 2, 3], now: Date.now(), showStackTraceSources: false };
    const workflow = new SandboxedWorkflow(await this.creator.createWorkflow(options), info, activities);
    const payloads = args.map((arg) => defaultPayloadConverter.toPayload(arg));
    this.open.add(workflow);
    await workflow.activate([{ initializeWorkflow: { workflowType: type, workflowId, arguments: payloads } }, ...jobs]);
    return workflow;
  }

  /** Disposes of all workflows. */
  async stop(): Promise<void> {
    for (const workflow of this.open) await workflow.dispose();
    await this.creator.destroy();
  }
}

/** A workflow task that failed: Temporal would repeat it, and the workflow would be blocked meanwhile. */
export class TaskFailure extends Error {}

/** One workflow in a sandbox. Activities end at once, children never, and no timer fires. */
export class SandboxedWorkflow {
  readonly info: WorkflowCreateOptions['info'];
  private readonly workflow: Workflow;
  private readonly activities: SandboxActivities;
  private tasks = 0;
  private isDisposed = false;
  /** Activities that it has called, with their arguments, in order. */
  readonly calls: { activity: string; args: unknown[] }[] = [];
  /** The command that ended the workflow. */
  ended: Command | undefined;
  /** Size of the largest command so far in bytes, as Temporal receives it. */
  largestCommand = 0;

  constructor(workflow: Workflow, info: WorkflowCreateOptions['info'], activities: SandboxActivities) {
    this.workflow = workflow;
    this.info = info;
    this.activities = activities;
  }

  /**
   * Delivers jobs in one workflow task, then the results of the activities that the workflow calls.
   * @returns all commands, in order.
   * @throws TaskFailure
   */
  async activate(jobs: readonly Job[]): Promise<Command[]> {
    const commands: Command[] = [];
    for (let next: Job[] = [...jobs]; next.length > 0 && this.ended === undefined;) {
      const produced = await this.task(next);
      commands.push(...produced);
      next = (await Promise.all(produced.map((command) => this.answer(command)))).flat();
    }
    return commands;
  }

  /** Asks queries, each with raw payloads. @returns the answers; undefined for one that was refused. */
  async query(queries: readonly { name: string; payloads: readonly Payload[] }[]): Promise<(Payload | undefined)[]> {
    const jobs = queries.map(({ name, payloads }, index) => ({
      queryWorkflow: { queryId: `q${index}`, queryType: name, arguments: [...payloads] },
    }));
    const commands = await this.task(jobs);
    const answers = new Map(commands.map(({ respondToQuery }) => [respondToQuery?.queryId, respondToQuery]));
    return queries.map((_, index) => {
      const answer = answers.get(`q${index}`);
      if (answer === undefined) throw new Error(`the query ${index} was not answered`);
      return answer?.succeeded?.response ?? undefined;
    });
  }

  /** Frees its memory; it is not used any more. */
  async dispose(): Promise<void> {
    if (!this.isDisposed) await this.workflow.dispose();
    this.isDisposed = true;
  }

  private async task(jobs: Job[]): Promise<Command[]> {
    const seconds = Math.floor(Date.now() / 1_000);
    const activation = coresdk.workflow_activation.WorkflowActivation.fromObject({
      ...{ runId: this.info.runId, timestamp: { seconds, nanos: 0 }, historyLength: 3 + ++this.tasks, jobs },
    });
    const { failed, successful } = await this.workflow.activate(activation);
    await this.workflow.getAndResetSinkCalls();
    if (failed != null) throw new TaskFailure(failed.failure?.message ?? 'a workflow task failed');
    const commands = successful?.commands ?? [];
    for (const command of commands) {
      const bytes = coresdk.workflow_commands.WorkflowCommand.encode(command).finish().length;
      this.largestCommand = Math.max(this.largestCommand, bytes);
    }
    return commands;
  }

  private async answer(command: Command): Promise<Job[]> {
    const { scheduleActivity, scheduleLocalActivity, signalExternalWorkflowExecution: signal } = command;
    const activity = scheduleActivity ?? scheduleLocalActivity;
    if (activity != null) return this.runActivity(activity, scheduleLocalActivity != null);
    if (signal != null) return [{ resolveSignalExternalWorkflow: { seq: signal.seq ?? 0 } }];
    const { requestCancelActivity, startChildWorkflowExecution: child, cancelChildWorkflowExecution } = command;
    const failure = { message: 'cancelled', canceledFailureInfo: {} };
    if (requestCancelActivity != null)
      return [{ resolveActivity: { seq: requestCancelActivity.seq ?? 0, result: { cancelled: { failure } } } }];
    if (child != null)
      return [{ resolveChildWorkflowExecutionStart: { seq: child.seq ?? 0, succeeded: { runId: randomUUID() } } }];
    if (cancelChildWorkflowExecution != null) {
      const seq = cancelChildWorkflowExecution.childWorkflowSeq ?? 0;
      return [{ resolveChildWorkflowExecution: { seq, result: { cancelled: { failure } } } }];
    }
    const { completeWorkflowExecution, failWorkflowExecution, continueAsNewWorkflowExecution: next } = command;
    if ((completeWorkflowExecution ?? failWorkflowExecution ?? next ?? command.cancelWorkflowExecution) != null)
      this.ended = command;
    return [];
  }

  private async runActivity(
    { activityType, seq, arguments: args }: coresdk.workflow_commands.IScheduleActivity,
    isLocal: boolean
  ): Promise<Job[]> {
    const values = (args ?? []).map((payload) => defaultPayloadConverter.fromPayload<unknown>(payload));
    this.calls.push({ activity: activityType ?? '', args: values });
    const activity = this.activities[activityType ?? ''];
    if (activity === undefined) return [];
    const result = defaultPayloadConverter.toPayload(await activity(...(values as never[])));
    return [{ resolveActivity: { seq: seq ?? 0, isLocal, result: { completed: { result } } } }];
  }
}
