import { Context } from '@temporalio/activity';
import PQueue from 'p-queue';

/** So many requests a second one worker makes to one API server at most; bursts are as long as {@link slotMs}. */
export const defaultRequestsPerSecond = 100;

/** So many of its requests are under way at a time at most: the slower an API server answers, the fewer it gets. */
export const requestsAtOnce = 16;

/** What a second is divided into, in ms, so that its requests do not all come at its begin. */
const slotMs = 100;

/** Changes go first: what was decided is done, however many others only look. */
const priorities = { change: 1, look: 0 };

/**
 * Spreads requests over time, and has few under way: an API server serves others too, however many nodes are migrated
 * at a time. Those that have to wait are let through in order, changes before looks.
 */
export class RequestRate {
  private readonly queue: PQueue;

  constructor(perSecond: number) {
    const interval = perSecond * slotMs >= 1_000 ? slotMs : 1_000;
    this.queue = new PQueue({
      concurrency: requestsAtOnce,
      interval,
      intervalCap: Math.floor((perSecond * interval) / 1_000),
    });
  }

  /** Makes a request when it is its turn. @throws the signal's reason when it is aborted meanwhile. */
  async turn<T>(method: string, signal: AbortSignal | undefined, request: () => Promise<T>): Promise<T> {
    const priority = method === 'GET' ? priorities.look : priorities.change;
    return this.queue.add(request, { priority, ...(signal && { signal }) });
  }
}

/** Counts a request for the worker's metrics. To be called in an activity. */
export function countRequest(cluster: string, method: string): void {
  const { metricMeter } = Context.current();
  metricMeter
    .createCounter('cni_migration_requests', undefined, 'requests to an API server')
    .add(1, { cluster, method });
}
