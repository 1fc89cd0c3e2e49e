import { regressions } from '../bench/regressions.ts';
import { recoveryRatios } from '../bench/recovery/result.ts';
import { scaleRatios, type ScaleRun } from '../bench/scale/result.ts';

it('reports regressions, but no random differences', () => {
  const before = { total: 1, node: 1, restarts: 1 };
  expect(regressions(before, { total: 1.1, node: 0.5, restarts: 1 })).toEqual([]);
  expect(regressions(before, { total: 1.2, node: 1, restarts: 2 })).toEqual([
    'worse than before: total 1.20, it was 1.00',
    'worse than before: restarts 2.00, it was 1.00',
  ]);
});

const scale = {
  ...{ nodes: 100, podsPerNode: 30, waveSize: 25, temporal: 'dev server', workers: 1, killed: 0, lost: 0, twice: 0 },
  ...{ requestsPerNode: 150, actionsPerNode: 14, largestEvents: 2_000 },
} as unknown as ScaleRun;

it('compares large clusters only at equal concurrency, and losses always', () => {
  expect(regressions(scaleRatios(scale), scaleRatios({ ...scale, requestsPerNode: 200 }))).toHaveLength(1);
  const other: ScaleRun = { ...scale, waveSize: 50, requestsPerNode: 200, lost: 1 };
  expect(regressions(scaleRatios(scale), scaleRatios(other))).toEqual([
    'worse than before: nodes lost or twice 1.00, it was 0.00',
  ]);
});

it('compares recoveries by the heartbeat timeout', () => {
  const result = {
    heartbeatTimeoutSeconds: 10,
    activity: [9, 12, 11],
    workflow: [10, 10, 10],
    server: [],
    serverAnswers: [],
  };
  expect(recoveryRatios(result)).toEqual({
    'time until an activity continues': 1.1,
    'time until a workflow continues': 1,
  });
});
