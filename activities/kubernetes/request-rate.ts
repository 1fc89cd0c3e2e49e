import { Context } from '@temporalio/activity';
import PQueue from 'p-queue';

/** Maximum number of requests per second from one worker to one API server. A burst lasts {@link slotMs}. */
export const defaultRequestsPerSecond = 100;

/** Maximum number of pending requests to one API server: the slower it answers, the fewer it receives. */
export const maxPendingRequests = 16;

/** Length of the slots that a second is divided into, in ms, so that its requests are not all sent at its start. */
const slotMs = 100;

/** Changes have priority over reads: decisions are executed even while many reads are waiting. */
const priorities = { change: 1, read: 0 };

/**
 * Limits the rate and the number of pending requests: an API server serves other clients too, however many nodes
 * migrate in parallel. Waiting requests are sent in order, changes before reads.
 */
export class RequestRate {
  private readonly queue: PQueue;

  constructor(perSecond: number) {
    const interval = perSecond * slotMs >= 1_000 ? slotMs : 1_000;
    this.queue = new PQueue({
      concurrency: maxPendingRequests,
      interval,
      intervalCap: Math.floor((perSecond * interval) / 1_000),
    });
  }

  /**
   * Sends a request when it is its turn.
   * @throws the signal's reason when the signal is aborted before.
   */
  async schedule<T>(method: string, signal: AbortSignal | undefined, request: () => Promise<T>): Promise<T> {
    const priority = method === 'GET' ? priorities.read : priorities.change;
    return this.queue.add(request, { priority, ...(signal && { signal }) });
  }
}

/** Counts a request for the worker's metrics. Must be called in an activity. */
export function countRequest(cluster: string, method: string): void {
  const { metricMeter } = Context.current();
  metricMeter
    .createCounter('cni_migration_requests', undefined, 'number of requests to an API server')
    .add(1, { cluster, method });
}
