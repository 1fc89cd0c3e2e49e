/**
 * Interceptors for workflows whose time a test controls. They are part of the bundle, so they run in the workflows'
 * sandbox.
 *
 * Every timer is started on the server with its real duration. A test skips time with an update of the workflow: its
 * clock advances, and a timer that is due by then fires. Clock and timers depend on the history alone, so replays see
 * the same. Real time passes between two skips. A run that continues as new starts with the server's clock again.
 */
import type { Duration, RetryPolicy } from '@temporalio/common';
import { msToNumber } from '@temporalio/common/lib/time.js';
import {
  CancellationScope,
  condition,
  defineUpdate,
  setHandler,
  type TimerInput,
  type WorkflowInterceptors,
} from '@temporalio/workflow';
import { getActivator } from '@temporalio/workflow/lib/global-attributes.js';
import { retrySpeedup, skipTimeName, type Skipped } from './time-skips.ts';

interface Timer {
  dueMs: number;
  fire: () => void;
}

/** The clock and the timers of one workflow. */
class SkippedTime {
  private skippedMs = 0;
  private readonly timers = new Set<Timer>();

  /** Adds the skipped time to the clock. Call it after the SDK has set the clock to the server's time. */
  adjust(): void {
    getActivator().now += this.skippedMs;
  }

  async startTimer(input: TimerInput, onServer: (input: TimerInput) => Promise<void>): Promise<void> {
    const scope = new CancellationScope();
    const timer: Timer = { dueMs: Date.now() + input.durationMs, fire: () => undefined };
    const fired = new Promise<void>((resolve) => (timer.fire = resolve));
    this.timers.add(timer);
    try {
      await Promise.race([scope.run(() => onServer(input)), fired]);
    } finally {
      this.timers.delete(timer);
      scope.cancel();
    }
  }

  /** Skips time, up to the next timer that is due by then. */
  async skip(ms: number): Promise<Skipped> {
    const timer = this.next;
    const msUntilTimer = timer === undefined ? Infinity : Math.max(0, timer.dueMs - Date.now());
    const stepMs = Math.min(ms, msUntilTimer);
    this.skippedMs += stepMs;
    getActivator().now += stepMs;
    if (timer === undefined || msUntilTimer > ms) return { fired: false, leftMs: 0 };
    timer.fire();
    await waitForIdleWorkflow();
    return { fired: true, leftMs: ms - stepMs };
  }

  private get next(): Timer | undefined {
    return [...this.timers].sort((a, b) => a.dueMs - b.dueMs)[0];
  }
}

/** Waits until the workflow has reacted: conditions are evaluated when no promise is left that could continue. */
async function waitForIdleWorkflow(): Promise<void> {
  let evaluations = 0;
  await condition(() => evaluations++ > 1);
}

/** Returns a policy with shorter pauses: the server waits between two attempts by its own clock. */
function shortenRetries(policy: RetryPolicy = {}): RetryPolicy {
  const shorten = (duration: Duration): number => msToNumber(duration) / retrySpeedup;
  return {
    ...policy,
    initialInterval: shorten(policy.initialInterval ?? '1 second'),
    ...(policy.maximumInterval !== undefined && { maximumInterval: shorten(policy.maximumInterval) }),
  };
}

/** @see WorkflowInterceptorsFactory of the SDK */
export function interceptors(): WorkflowInterceptors {
  const time = new SkippedTime();
  return {
    inbound: [
      {
        execute: (input, next) => {
          setHandler(defineUpdate<Skipped, [number]>(skipTimeName), (ms) => time.skip(ms));
          return next(input);
        },
      },
    ],
    outbound: [
      {
        startTimer: (input, next) => time.startTimer(input, next),
        scheduleActivity: (input, next) => {
          const retry = shortenRetries(input.options.retry);
          return next({ ...input, options: { ...input.options, retry } });
        },
      },
    ],
    internals: [
      {
        activate: (input, next) => {
          // Queries arrive alone, and the SDK does not set the clock for them.
          const isQuery = input.activation.jobs?.some(({ queryWorkflow }) => queryWorkflow != null) === true;
          if (input.batchIndex === 0 && !isQuery) time.adjust();
          next(input);
        },
      },
    ],
  };
}
