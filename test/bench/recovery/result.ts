import type { Ratios } from '../regressions.ts';
import { median } from '../results.ts';

/** Content of `test/bench/results/recovery.json`: seconds of each attempt, from the kill until the work continues. */
export interface RecoveryResult {
  /** Time without a heartbeat after which an activity's worker counts as dead. */
  heartbeatTimeoutSeconds: number;
  /**
   * A worker is killed during an activity, while another one runs: time until the other one starts the activity again.
   */
  activity: number[];
  /**
   * A worker that has a waiting workflow in its memory is killed, then a message arrives: time until another worker has
   * acted on it.
   */
  workflow: number[];
  /**
   * Temporal is killed and restarted at once, and a message is sent as soon as it answers: time from the kill until a
   * worker has acted on the message.
   */
  server: number[];
  /** Part of that time until Temporal answers again. */
  serverAnswers: number[];
}

/**
 * Returns the ratios for the comparison with the previous result: the interruption divided by the heartbeat timeout.
 */
export function recoveryRatios({ heartbeatTimeoutSeconds, activity, workflow }: RecoveryResult): Ratios {
  return {
    'time until an activity continues': median(activity) / heartbeatTimeoutSeconds,
    'time until a workflow continues': median(workflow) / heartbeatTimeoutSeconds,
  };
}
