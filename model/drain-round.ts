import type { Blocker } from './status.ts';

/** Pods that one round of a drain leaves on the node; none when all have moved. */
export interface DrainRound {
  left: Blocker[];
}
