/** What a dry run found out about one step. */
export interface Rehearsal {
  step: string;
  /** What the migration would do; the API server was asked about each where it can be. */
  would: string[];
  /** What would hold it up or be refused, as things are now. */
  problems: string[];
}
