/** One command of a run: a check, the building of tools, or a test suite. */
export interface Step {
  name: string;
  /** Checks run side by side, before anything else. Tools count only when they fail. */
  kind: 'check' | 'tools' | 'suite';
  /** The program and its arguments. */
  command: readonly string[];
  /** @default the folder of this checkout */
  cwd?: string;
  /** Variables beside those of this process. @default none */
  env?: Readonly<Record<string, string>>;
  /** After this time in ms, the step's process group is killed and the step has failed. */
  deadlineMs: number;
  /** It writes a report of its tests (`report-file.ts`). @default it counts as one */
  reports?: boolean;
  /** Names of earlier steps. When one of them failed, this step is not run and has failed. @default none */
  needs?: readonly string[];
}

/** What a run of the tests does. */
export interface Plan {
  steps: readonly Step[];
  /** Removes what a killed or failed suite left behind. @default nothing is done */
  cleanup?: { command: readonly string[]; deadlineMs: number };
  /** How long the processes of a killed step have to end after SIGTERM, in ms. @default 10 s */
  graceMs?: number;
  /** The run is stopped so many ms after it began; steps that did not end until then have failed. @default never */
  stopAfterMs?: number;
}

/** How a step ended. */
export interface StepResult {
  passed: number;
  failed: number;
  /** What failed, each with the beginning of its reason. */
  failures: readonly string[];
  /** The machine's pressure; empty for a step that passed. */
  machine: string;
}
