/** Which tools something needs, from those of fewest tests to all: those of an API server, of labs, of the rest. */
export type Tools = 'control plane' | 'lab' | 'rest';

/** Test files that one run of jest takes. Nothing else goes on meanwhile: a lab alone keeps two cores busy. */
export interface Turn {
  name: string;
  projects: readonly string[];
  /** Files at a time. @default one, because they use this machine's network */
  workers?: number;
  /** Pattern of its files. @default all of its projects */
  only?: string;
  /** Pattern of files that it leaves out. */
  without?: string;
  /** What it takes on a machine of two cores and usual speed, tools left aside. */
  minutes: number;
  tools: Tools;
}

/** What it takes to build tools where there are none, on such a machine: those of fewer tests left aside. */
export const buildMinutes: Readonly<Record<Tools, number>> = { 'control plane': 6, lab: 6, rest: 4 };

// These wait for Temporal most of the time.
const workflows: Turn = {
  name: 'unit-workflow',
  projects: ['unit', 'workflow'],
  workers: 4,
  minutes: 4,
  tools: 'control plane',
};

const stack = 'test/api/(stack|web-ui)';

export const fastTurns: readonly Turn[] = [workflows, { name: 'api', projects: ['api'], minutes: 8, tools: 'rest' }];

const lab = (name: string, minutes: number): Turn => ({
  name: `lab-${name}`,
  projects: ['lab'],
  only: `test/lab/${name}`,
  minutes,
  tools: 'lab',
});

/** What tells most for its time comes first. */
export const allTurns: readonly Turn[] = [
  workflows,
  { name: 'api', projects: ['api'], without: stack, minutes: 6, tools: 'control plane' },
  lab('migration', 9),
  lab('crash', 12),
  lab('preflight', 3),
  lab('blackhole', 3),
  lab('reboot', 3),
  lab('lifecycle', 3),
  lab('demo', 2),
  lab('policy', 17),
  { name: 'api-stack', projects: ['api'], only: stack, minutes: 2, tools: 'rest' },
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

/** Whether there is time for something of so many minutes on a machine of usual speed, at the speed that this one has shown. */
export function fits(minutes: number, { passed, expected, limit }: Pace): boolean {
  const slowness = expected > 0 ? Math.max(1, passed / expected) : 1;
  return limit === undefined || passed + minutes * slowness <= limit;
}
