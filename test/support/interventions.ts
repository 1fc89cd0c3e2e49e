import { cancelled, heartbeat } from '@temporalio/activity';
import type { WorkflowUpdateFailedError } from '@temporalio/client';
import { ApplicationFailure } from '@temporalio/common';
import type { MessageName } from '../../model/message-schemas.ts';
import type { fakeCluster } from './fake-cluster.ts';
import { waitForQueryResult, type Run } from './migration-run.ts';

/** Called by a fake cluster before each activity; see its option of the same name. */
type Before = NonNullable<NonNullable<Parameters<typeof fakeCluster>[0]>['before']>;

/** Sends a message as an update. @returns its answer; that of a refusal starts with `no: `. */
export async function send(
  run: Pick<Run, 'executeUpdate'>,
  name: MessageName,
  message: Readonly<Record<string, unknown>> = {}
): Promise<string> {
  return run.executeUpdate<string, [unknown]>(name, { args: [message] }).catch((error: unknown) => {
    const { cause } = error as WorkflowUpdateFailedError;
    if (cause === undefined) throw error;
    return `no: ${cause.message}`;
  });
}

/** A step at which a migration is held. */
export interface Hold {
  before: Before;
  isReached: () => boolean;
  waitUntilReached: () => Promise<void>;
  release: () => void;
}

/**
 * Holds the first call of an activity until a test releases it, or it is cancelled.
 * @param step name of the activity, for any node; or the name, a space and the name of the node.
 */
export function hold(step: string): Hold {
  let isReached = false;
  let release: () => void = () => undefined;
  const released = new Promise<void>((resolve) => (release = resolve));
  return {
    before: async (activity, node) => {
      if (isReached || (step !== activity && step !== `${activity} ${node}`)) return;
      isReached = true;
      const beat = setInterval(() => heartbeat(), 50);
      await Promise.race([released, cancelled()]).finally(() => clearInterval(beat));
    },
    isReached: () => isReached,
    waitUntilReached: () => waitFor(() => isReached),
    release,
  };
}

/** Waits, in real time, until a condition of the test holds. */
export async function waitFor(condition: () => boolean | Promise<boolean>): Promise<void> {
  await waitForQueryResult(
    async () => condition(),
    (holds) => holds
  );
}

/** An API server that stops to answer when a migration reaches a step, until a test brings it back. */
export class BrokenApiServer {
  isDown = false;
  private wasDown = false;
  private readonly activity: string;
  private readonly onlyThis: boolean;
  private readonly call: number;
  private calls = 0;

  /**
   * @param activity the first one that gets no answer.
   * @param options.call which call of it. @default the first
   * @param options.onlyThis true when other activities are answered. @default false
   */
  constructor(activity: string, { call = 1, onlyThis = false } = {}) {
    this.activity = activity;
    this.onlyThis = onlyThis;
    this.call = call;
  }

  readonly before: Before = (activity) => {
    if (!this.wasDown && activity === this.activity && ++this.calls === this.call) this.isDown = this.wasDown = true;
    if (!this.isDown || (this.onlyThis && activity !== this.activity)) return;
    throw ApplicationFailure.retryable('connect ECONNREFUSED', 'ClusterUnreachable');
  };

  /** Brings it back. */
  repair(): void {
    this.isDown = false;
  }
}

/**
 * Lengthens the history of a run with refused messages, until it has continued as new.
 * @param limit events after which the run continues as new.
 */
export async function lengthenHistory(run: Run, limit: number): Promise<void> {
  const { runId } = await run.describe();
  for (let sent = 0; sent < limit; sent++) {
    const { historyLength, ...current } = await run.describe();
    if (current.runId !== runId || historyLength >= limit) return;
    for (let more = 0; more < 5; more++) await run.signal('resume', {});
  }
}
