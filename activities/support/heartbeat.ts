import { Context, asyncLocalStorage } from '@temporalio/activity';

/** Between two heartbeats, in ms: well within every activity's heartbeat timeout. */
const everyMs = 2_000;

/** What an activity does just now, as the Web UI shows it. */
export interface HeartbeatDetails {
  waitingFor: string;
}

const latest = new WeakMap<Context, HeartbeatDetails>();

/** Reports what the activity waits for. */
export function heartbeat(details: HeartbeatDetails): void {
  const context = Context.current();
  latest.set(context, details);
  context.heartbeat(details);
}

/**
 * Heartbeats until told to stop, so that a worker that dies in the middle of an activity is noticed, however short the
 * activity is. Each request of an activity has a limit of its own, so that one that hangs does not go on for ever.
 */
export function beatRegularly(): () => void {
  // Outside an activity, as in a boot check, there is nobody to tell.
  const context = asyncLocalStorage.getStore();
  if (context === undefined) return () => undefined;
  context.heartbeat();
  const timer = setInterval(() => context.heartbeat(latest.get(context)), everyMs);
  return () => clearInterval(timer);
}
