/** Test files that one run of jest takes. */
export interface Suite {
  name: string;
  projects: readonly string[];
  /** Files at a time. @default one, because they use this machine's network */
  workers?: number;
  /** Pattern of its files. @default all of its projects */
  only?: string;
  /** Pattern of files that it leaves out. */
  without?: string;
}

/** Which tools something needs, from those of fewest tests to all: those of an API server, of labs, of the rest. */
export type Tools = 'control plane' | 'lab' | 'rest';

/** What goes on at a time. */
export interface Turn {
  /** What it takes on a machine of two cores and usual speed, tools left aside. */
  minutes: number;
  /** Side by side. */
  suites: readonly Suite[];
  tools: Tools;
  /** What is done instead where there is no time for it. @default nothing */
  otherwise?: Turn;
}

/** What it takes to build tools where there are none, on such a machine: those of fewer tests left aside. */
export const buildMinutes: Readonly<Record<Tools, number>> = { 'control plane': 6, lab: 6, rest: 4 };

// These wait for Temporal most of the time.
const workflows: Turn = {
  minutes: 4,
  suites: [{ name: 'unit-workflow', projects: ['unit', 'workflow'], workers: 4 }],
  tools: 'control plane',
};

/** What answers of an API server take is part of what these test: nothing is beside them. */
const api: Suite = { name: 'api', projects: ['api'] };
const stack = 'test/api/(stack|web-ui)';

export const fastTurns: readonly Turn[] = [workflows, { minutes: 8, suites: [api], tools: 'rest' }];

const long = 'test/lab/(migration|policy|crash)';
const labs: Turn = { minutes: 11, suites: [{ name: 'lab', projects: ['lab'], without: long }], tools: 'lab' };

/** What tells most for its time comes first. */
export const allTurns: readonly Turn[] = [
  workflows,
  { minutes: 6, suites: [{ ...api, without: stack }], tools: 'control plane' },
  { minutes: 9, suites: [{ name: 'lab-migration', projects: ['lab'], only: 'test/lab/migration' }], tools: 'lab' },
  {
    minutes: 15,
    // Workers die in it, which takes more waiting than work: there is room for another lab.
    suites: [{ name: 'lab-crash', projects: ['lab'], only: 'test/lab/crash' }, ...labs.suites],
    tools: 'lab',
    otherwise: labs,
  },
  // It keeps the whole machine busy.
  { minutes: 17, suites: [{ name: 'lab-policy', projects: ['lab'], only: 'test/lab/policy' }], tools: 'lab' },
  { minutes: 2, suites: [{ name: 'api-stack', projects: ['api'], only: stack }], tools: 'rest' },
];

/** How the time goes. */
export interface Pace {
  /** Minutes since the beginning. */
  passed: number;
  /** What they would have been on a machine of usual speed. */
  expected: number;
  /** Minutes that all may take. @default whatever it takes */
  limit?: number;
}

/**
 * What of a turn there is time for, at the speed that this machine has shown.
 * @param building minutes for its tools on a machine of usual speed.
 */
export function fitting(turn: Turn, building: number, pace: Pace): Turn | undefined {
  const { passed, expected, limit } = pace;
  const slowness = expected > 0 ? Math.max(1, passed / expected) : 1;
  if (limit === undefined || passed + (turn.minutes + building) * slowness <= limit) return turn;
  return turn.otherwise && fitting(turn.otherwise, building, pace);
}
