/** Result of a dry run for one step. */
export interface DryRunStep {
  step: string;
  /** Changes that the migration would make, validated by the API server where possible. */
  would: string[];
  /** Problems that would delay or fail the step in the current state of the cluster. */
  problems: string[];
}
