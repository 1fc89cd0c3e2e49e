import type { Ratios } from '../regressions.ts';
import type { ManyPoliciesSize } from '../../support/many-policies.ts';

/** The comparison of the policies of one generated cluster. */
export interface PolicyRun extends ManyPoliciesSize {
  /** Number of compared flows. */
  flows: number;
  /** Processor seconds of the whole process. */
  cpuSeconds: number;
  /** Longest processor time in ms for which the event loop of the main thread was blocked. */
  blockedMs: number;
  /** Maximum resident memory of the process in MiB. */
  memoryMiB: number;
}

/** Content of `test/bench/results/policies.json`. */
export interface PoliciesResult {
  runs: PolicyRun[];
}

/** Returns the figures for the comparison with the previous result. */
export function policyRatios({ runs }: PoliciesResult): Ratios {
  return Object.fromEntries(
    runs.map(({ policies, namespaces, flows }) => [`flows of ${policies} policies in ${namespaces} namespaces`, flows])
  );
}
