/** One command of a run: a check, the building of tools, or a test suite. */
export interface Step {
  name: string;
  /** Checks run in parallel, before everything else. Tools count only when they fail. */
  kind: 'check' | 'tools' | 'suite';
  /** The program and its arguments. */
  command: readonly string[];
  /** @default the folder of this checkout */
  cwd?: string;
  /** Environment variables in addition to those of this process. @default none */
  env?: Readonly<Record<string, string>>;
  /** After this time in ms, the step's process group is killed and the step has failed. */
  deadlineMs: number;
  /** True when it writes a report of its tests (`report-file.ts`). @default false: it counts as one test */
  reports?: boolean;
  /**
   * True for a suite that runs in parallel with the steps after it, up to the next one that is `parallel` or `alone`. Its output is
   * printed at its end.
   * @default false
   */
  parallel?: boolean;
  /** True for a suite that starts when no other one runs. @default false */
  alone?: boolean;
  /** Names of earlier steps. When one of them failed, this step is not run and has failed. @default none */
  needs?: readonly string[];
}

/** The steps of a run of the tests. */
export interface Plan {
  steps: readonly Step[];
  /** Removes the remains of killed and failed suites. @default nothing is removed */
  cleanup?: { command: readonly string[]; deadlineMs: number };
  /** Time that the processes of a killed step get after SIGTERM, in ms. @default 10,000 */
  graceMs?: number;
  /** Time after which the run is stopped, in ms; steps that have not ended by then fail. @default never */
  stopAfterMs?: number;
}

/** Result of a step. */
export interface StepResult {
  passed: number;
  failed: number;
  /** Failed tests, each with the first lines of the reason. */
  failures: readonly string[];
  /** The machine's pressure; empty for a step that passed. */
  machine: string;
}
