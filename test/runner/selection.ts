import { checks, type Check } from './checks.ts';
import type { Plan, Step } from './plan.ts';
import { securityChecks, securitySuites } from './security.ts';
import { suitesForChanges } from './suite-map.ts';
import { suites, suitesOfTier, tiers, usualBuildMinutes, type Suite, type Tier, type ToolGroup } from './suites.ts';

/** Requested tests: tiers or suites by name, or those for changed files, which are undefined when unknown. */
export type Selection = { names: readonly string[] } | { changed: readonly string[] | undefined };

/** Selected tests of a run. */
export interface Selected {
  withChecks: boolean;
  /** Some of the checks, where not all of them are part of it. @default none */
  checks?: readonly Check[];
  suites: readonly Suite[];
}

/** Ratio of a deadline to the usual duration. */
const deadlineFactor = 3;

/** Finds the suites of a selection, in the order in which they run. @throws Error for an unknown name. */
export function selectSuites(selection: Selection): Selected {
  if ('changed' in selection) {
    const changed = suitesForChanges(selection.changed);
    const core = suitesOfTier('core');
    return { withChecks: true, suites: suites.filter((suite) => core.includes(suite) || changed.has(suite.name)) };
  }
  const names = selection.names.length === 0 ? ['core'] : selection.names;
  if (names.length === 1 && names[0] === 'security')
    return { withChecks: false, checks: securityChecks, suites: securitySuites };
  const chosen = names.flatMap((name) => {
    if (isTier(name)) return suitesOfTier(name);
    const suite = suites.find((one) => one.name === name);
    if (suite !== undefined) return [suite];
    const known = [...tiers, ...suites.map((one) => one.name)].join(', ');
    throw new Error(`no tier or suite is called "${name}"; there are ${known}`);
  });
  return { withChecks: names.some(isTier), suites: suites.filter((suite) => chosen.includes(suite)) };
}

function isTier(name: string): name is Tier {
  return (tiers as readonly string[]).includes(name);
}

/**
 * Turns a selection into steps: checks, then each suite, after the tools that it is the first to need.
 * @param timeFactor how much slower than the reference machine this one is.
 */
export function buildTestPlan({ withChecks, checks: some = [], suites: selected }: Selected, timeFactor: number): Plan {
  const deadlineMs = (usualMinutes: number): number => usualMinutes * 60_000 * deadlineFactor * timeFactor;
  const built = new Set<ToolGroup>();
  const toolsBefore = ({ tools }: Suite): Step[] => {
    if (tools === undefined || built.has(tools)) return [];
    built.add(tools);
    return [
      {
        name: toolsName(tools),
        kind: 'tools',
        command: ['node', 'test/runner/build-tools.ts', tools],
        deadlineMs: deadlineMs(usualBuildMinutes[tools]),
      },
    ];
  };
  return {
    steps: [
      ...(withChecks ? checks : some).map(({ usualMinutes, ...check }): Step => ({
        ...check,
        kind: 'check',
        deadlineMs: deadlineMs(usualMinutes),
      })),
      ...selected.flatMap((suite): Step[] => [
        ...toolsBefore(suite),
        {
          name: suite.name,
          kind: 'suite',
          command: jestCommand(suite),
          reports: true,
          ...(suite.lane !== undefined && { [suite.lane]: true }),
          ...(suite.tools !== undefined && { needs: [toolsName(suite.tools)] }),
          deadlineMs: deadlineMs(suite.usualMinutes),
        },
      ]),
    ],
    cleanup: { command: ['node', 'test/runner/remove-labs.ts'], deadlineMs: deadlineMs(1) },
  };
}

function toolsName(tools: ToolGroup): string {
  return `building the tools "${tools}"`;
}

function jestCommand({ project, only, without, workers }: Suite): string[] {
  return [
    ...['node', 'node_modules/jest/bin/jest.js', '--selectProjects', project, '--ci', '--verbose'],
    ...['--reporters', 'default', '--reporters', '<rootDir>/test/runner/report-file.ts'],
    // A connection that a test forgot must not delay the end of a suite that runs in one process.
    ...(workers === undefined ? ['--runInBand', '--forceExit'] : ['--maxWorkers', String(workers)]),
    ...(only === undefined ? [] : ['--testPathPatterns', only]),
    ...(without === undefined ? [] : ['--testPathIgnorePatterns', without]),
  ];
}
