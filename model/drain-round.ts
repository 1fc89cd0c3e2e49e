import type { Blocker } from './status.ts';

/** What a round leaves on the node; nothing when all have moved. */
export interface DrainRound {
  left: Blocker[];
}
