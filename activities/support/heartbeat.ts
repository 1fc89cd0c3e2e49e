import { Context, asyncLocalStorage } from '@temporalio/activity';

/** Interval between two heartbeats, in ms. It is well below every activity's heartbeat timeout. */
const heartbeatIntervalMs = 2_000;

/** Current state of an activity, as the Web UI shows it. */
export interface HeartbeatDetails {
  waitingFor: string;
}

const latest = new WeakMap<Context, HeartbeatDetails>();

/** Reports what the activity is waiting for. */
export function heartbeat(details: HeartbeatDetails): void {
  const context = Context.current();
  latest.set(context, details);
  context.heartbeat(details);
}

/**
 * Sends heartbeats until the returned function is called, so that a worker crash is noticed during any activity,
 * however short. Each request of an activity has its own timeout, so a request that hangs does not run indefinitely.
 * @returns the function that stops the heartbeats.
 */
export function startHeartbeat(): () => void {
  // Outside an activity, as in a startup check, nobody receives heartbeats.
  const context = asyncLocalStorage.getStore();
  if (context === undefined) return () => undefined;
  context.heartbeat();
  const timer = setInterval(() => context.heartbeat(latest.get(context)), heartbeatIntervalMs);
  return () => clearInterval(timer);
}
