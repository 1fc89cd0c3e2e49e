import { SearchAttributeType, defineSearchAttributeKey } from '@temporalio/common';

/**
 * Search attributes of migrations in Temporal. All must be registered in the namespace before a worker starts: a server
 * without one of them fails every workflow task repeatedly, so the worker checks for them at startup.
 *
 * Their values are plain text even where payloads are encrypted: they then contain names of clusters and no other ones.
 */
export const searchAttributes = {
  /** The input's `cluster`; also set on the workflows of nodes. */
  cluster: defineSearchAttributeKey('CniCluster', SearchAttributeType.KEYWORD),
  /** Current phase of the migration. */
  phase: defineSearchAttributeKey('CniPhase', SearchAttributeType.KEYWORD),
  /**
   * Subject of the current wait, such as "approval of node worker-1"; with encryption only its kind, such as "approval".
   * Unset while the migration works.
   */
  waitingFor: defineSearchAttributeKey('CniWaitingFor', SearchAttributeType.KEYWORD),
  /**
   * What the migration needs to continue: `approval`, `decision`, `resume`, `reboot` or `repair` by a person, or `time`;
   * unset while it works.
   */
  needs: defineSearchAttributeKey('CniNeeds', SearchAttributeType.KEYWORD),
} as const;

/** Maximum length of a keyword that every store accepts, in characters. */
export const maxKeyword = 255;
