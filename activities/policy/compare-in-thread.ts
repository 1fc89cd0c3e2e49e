import { ApplicationFailure, CancelledFailure } from '@temporalio/common';
import { asyncLocalStorage } from '@temporalio/activity';
import { totalmem } from 'node:os';
import path from 'node:path';
import { Worker } from 'node:worker_threads';
import { failure } from '../support/failures.ts';
import { heartbeat } from '../support/heartbeat.ts';
import type { ThreadAnswer, ThreadError } from './comparison-thread.ts';
import type { ComparisonInput, PolicyComparison } from './evaluation/compare.ts';
import { largestObjects } from './evaluation/limits.ts';

/** Module that the thread runs. Node.js strips its types, also when its parent was compiled, as in Jest. */
const threadPath = path.join(import.meta.dirname, 'comparison-thread.ts');

/** Bounds of the thread's heap in MiB; between them, it is half of the memory that the process may use. */
const heapBoundsMiB = { min: 256, max: 4_096 };

/** Options of {@link compareInThread}. */
export interface ThreadOptions {
  /**
   * Maximum size of the thread's heap in MiB.
   * @default half of the memory that the process may use, at least 256 and at most 4,096
   */
  heapMiB?: number;
  /**
   * Maximum duration of the comparison in ms.
   * @default 10 minutes
   */
  deadlineMs?: number;
}

/** Default of {@link ThreadOptions.deadlineMs}: less than the timeout of the activities that compare policies. */
const defaultDeadlineMs = 600_000;

/** End of the last comparison of this process that was started or waits for its turn. It never rejects. */
let lastComparison = Promise.resolve();

/** Number of comparisons of this process that run or wait for their turn. */
let openComparisons = 0;

/**
 * Compares policies in a thread, so that the event loop of the worker stays free: it takes seconds or minutes on large clusters.
 * One comparison runs at a time per process, because each may need much memory; others wait for their turn. In an
 * activity, heartbeats show the wait and the comparison, and a cancellation ends the thread.
 * @throws ApplicationFailure of type PolicyComparisonFailed when the heap of the thread is exhausted, when the comparison
 * exceeds its deadline or throws; the cause then has the name and the message of the error.
 * @throws CancelledFailure when the activity is cancelled.
 */
export async function compareInThread(input: ComparisonInput, options: ThreadOptions = {}): Promise<PolicyComparison> {
  // Outside an activity, as in measurements, there is no cancellation, and nobody receives heartbeats.
  const context = asyncLocalStorage.getStore();
  const cancelled = context?.cancelled ?? new Promise<never>(() => undefined);
  const report = (waitingFor: string): void => {
    if (context !== undefined) heartbeat({ waitingFor });
  };
  const { calico, kubernetes } = input.policies;
  const previous = lastComparison;
  let leaveQueue = (): void => undefined;
  const ended = new Promise<void>((resolve) => (leaveQueue = resolve));
  lastComparison = previous.then(() => ended);
  try {
    if (openComparisons++ > 0) report('another comparison of policies by this worker');
    await Promise.race([cancelled, previous]);
    report(`the comparison of ${calico.length + kubernetes.length} policies`);
    return await runThread(input, cancelled, options);
  } finally {
    openComparisons--;
    leaveQueue();
  }
}

/** Runs the comparison in a new thread, which has ended when the promise is settled. */
async function runThread(
  input: ComparisonInput,
  cancelled: Promise<never>,
  { heapMiB = defaultHeapMiB(), deadlineMs = defaultDeadlineMs }: ThreadOptions
): Promise<PolicyComparison> {
  let thread: Worker | undefined;
  let timer: NodeJS.Timeout | undefined;
  const overdue = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(overdueFailure(input, deadlineMs)), deadlineMs);
  });
  try {
    thread = new Worker(threadPath, {
      name: 'policy comparison',
      workerData: input,
      resourceLimits: { maxOldGenerationSizeMb: heapMiB },
    });
    const answer = await Promise.race([cancelled, overdue, waitForAnswer(thread)]);
    if ('error' in answer) throw restoreError(answer.error);
    return answer.comparison;
  } catch (error) {
    const isFinal = error instanceof CancelledFailure || error instanceof ApplicationFailure;
    throw isFinal ? error : comparisonFailure(error, heapMiB);
  } finally {
    clearTimeout(timer);
    await thread?.terminate();
  }
}

function waitForAnswer(thread: Worker): Promise<ThreadAnswer> {
  return new Promise((resolve, reject) => {
    thread.once('message', resolve);
    thread.once('messageerror', reject);
    thread.once('error', reject);
    thread.once('exit', (code) => reject(new Error(`the thread ended with exit code ${code} and without an answer`)));
  });
}

/** Creates an error with the name, message and stack that it had in the thread. */
function restoreError({ name, message, stack }: ThreadError): Error {
  return Object.assign(new Error(message), { name, ...(stack !== undefined && { stack }) });
}

/** Creates the failure of a comparison that takes too long. It names the largest objects, which are the likely cause. */
function overdueFailure({ policies: { calico, kubernetes, sets } }: ComparisonInput, deadlineMs: number): Error {
  return failure(
    'PolicyComparisonFailed',
    `the comparison of the policies takes more than ${deadlineMs / 1_000} s; reduce the number of policies, of different CIDRs and ports in them, or of different sets of pod labels that they select. The largest are ${largestObjects([...calico, ...kubernetes, ...sets])}`
  );
}

function comparisonFailure(error: unknown, heapMiB: number): Error {
  // A retry fails in the same way: the result depends on nothing but the policies.
  if ((error as NodeJS.ErrnoException).code === 'ERR_WORKER_OUT_OF_MEMORY') {
    return failure(
      'PolicyComparisonFailed',
      `the comparison of the policies needs more than ${heapMiB} MiB of memory; give the worker more memory (the comparison may use half of it, at most ${heapBoundsMiB.max} MiB), or reduce the number of policies, of different CIDRs and ports in them, or of different sets of pod labels that they select`,
      { cause: error }
    );
  }
  const { name, message } = error instanceof Error ? error : new Error(String(error));
  return failure(
    'PolicyComparisonFailed',
    `the comparison of the policies failed with ${name}: ${message.slice(0, 500)}; this is a bug: report it with the policies of the cluster`,
    { cause: error }
  );
}

function defaultHeapMiB(): number {
  // 0 or a number that exceeds the memory when the process has no limit of its own.
  const limit = process.constrainedMemory();
  const bytes = limit > 0 ? Math.min(limit, totalmem()) : totalmem();
  return Math.min(heapBoundsMiB.max, Math.max(heapBoundsMiB.min, Math.floor(bytes / 2 / 2 ** 20)));
}
