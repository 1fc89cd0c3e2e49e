/** Author, reason and time (ISO 8601, UTC) of a decision. */
export interface Decision {
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
}

/** A message that ends a wait. */
export interface Answer {
  /** Effect of the message as a verb phrase, such as `retry node a`. */
  does: string;
  message: string;
  input: Readonly<Record<string, string | number | boolean>>;
}
