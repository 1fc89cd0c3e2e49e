import { SearchAttributeType, defineSearchAttributeKey } from '@temporalio/common';

/**
 * What migrations can be found by in Temporal. All have to be registered in the namespace before a worker starts: a server
 * that does not know one makes every workflow task fail, again and again, so the worker looks for them when it boots.
 *
 * They are kept in plain text even where payloads are encrypted: names of clusters and nodes are in them, nothing else.
 */
export const searchAttributes = {
  /** The input's `cluster`; on the workflows of nodes too. */
  cluster: defineSearchAttributeKey('CniCluster', SearchAttributeType.KEYWORD),
  /** The phase that the migration is in. */
  phase: defineSearchAttributeKey('CniPhase', SearchAttributeType.KEYWORD),
  /** What it waits for, such as "approval of node worker-1"; missing while it works. */
  waitingFor: defineSearchAttributeKey('CniWaitingFor', SearchAttributeType.KEYWORD),
} as const;

/** Longest value of a keyword that every store accepts, in characters. */
export const maxKeyword = 255;
