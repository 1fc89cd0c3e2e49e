/** Author, reason and time (ISO 8601, UTC) of a decision. */
export interface Decision {
  /** Name that the sender of the message claims. */
  by: string;
  reason: string;
  at: string;
  /** Of an approval of the plan: digest of the plan that was pending. Undefined where the plan had none. */
  planDigest?: string;
  /**
   * True when the message named that digest.
   * @default false
   */
  namesPlan?: true;
  /**
   * User that the API server of the cluster has authenticated, as the creator of the MigrationApproval.
   * @default none: the decision is only as certain as the claim
   */
  principal?: string | undefined;
  /** Name of that MigrationApproval. */
  object?: string | undefined;
}

/** Returns who decided: the authenticated user, and apart from that the name that the sender of the message claims. */
export function decidedBy({ by, principal }: Pick<Decision, 'by' | 'principal'>): string {
  return principal === undefined ? by : `${principal} (claimed by ${by})`;
}

/** A message that ends a wait. */
export interface Answer {
  /** Effect of the message as a verb phrase, such as `retry node a`. */
  does: string;
  message: string;
  input: Readonly<Record<string, string | number | boolean>>;
}
