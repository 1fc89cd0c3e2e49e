import type { Ratios } from '../regressions.ts';
import { median } from '../results.ts';

/** What `test/bench/results/recovery.json` holds: seconds of each try, from the kill until the work goes on. */
export interface RecoveryResult {
  /** After so many seconds without a heartbeat, an activity's worker counts as dead. */
  heartbeatTimeoutSeconds: number;
  /** A worker is killed in the middle of an activity, while another one runs: until that begins the activity again. */
  activity: number[];
  /** A worker is killed that has a waiting workflow in its memory; then a message comes: until another one has acted on it. */
  workflow: number[];
  /** Temporal is killed and started again at once, and a message is sent as soon as it answers: from the kill until it is acted on. */
  server: number[];
  /** Of that, until Temporal answers again. */
  serverAnswers: number[];
}

/** What is compared with the result before: how long the work stood still, as a part of the heartbeat timeout. */
export function recoveryRatios({ heartbeatTimeoutSeconds, activity, workflow }: RecoveryResult): Ratios {
  return {
    'time until an activity goes on': median(activity) / heartbeatTimeoutSeconds,
    'time until a workflow goes on': median(workflow) / heartbeatTimeoutSeconds,
  };
}
