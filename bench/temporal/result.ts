/** One whole migration of a cluster that is only there for the workflows. */
export interface TemporalRun {
  nodes: number;
  seconds: number;
  /** Seconds of a core that the worker took, the cluster's stand-in included. */
  workerCpuSeconds: number;
  memoryMiB: number;
  /** How often the cluster's workflow handed over to a new run, and one. */
  runs: number;
  /** Of the largest of these. */
  largestEvents: number;
  largestKiB: number;
  /** Events of the largest of the nodes' workflows. */
  nodeEvents: number;
  /** Temporal's actions: workflows, activities, timers, signals, search attributes. */
  actionsPerNode: number;
}

/** What `bench/results/temporal-scale.json` holds. */
export interface TemporalScaleResult {
  waveSize: number;
  runs: TemporalRun[];
}
