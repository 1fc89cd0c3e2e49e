import { peerRatios, regressions, type Migrated } from '../../bench/peer/result.ts';

const run = (seconds: number, node: number, restartsPerPod = 1): Migrated => ({
  ...{ seconds, phases: {}, nodes: { a: node, b: node }, requests: 0, lost: 0, lostMs: 0, wrongVerdictMs: 0 },
  restartsPerPod,
});

it('relates both of each pair, and takes the middle', () => {
  const pairs = [
    { byHand: run(100, 10), service: run(150, 10) },
    { byHand: run(200, 10), service: run(200, 20) },
    { byHand: run(100, 20), service: run(300, 40, 3) },
  ];
  expect(peerRatios(pairs)).toEqual({ total: 1.5, node: 2, restarts: 1 });
});

it('tells what has become worse, and not what may be chance', () => {
  const before = { total: 1, node: 1, restarts: 1 };
  expect(regressions(before, { total: 1.1, node: 0.5, restarts: 1 })).toEqual([]);
  expect(regressions(before, { total: 1.2, node: 1, restarts: 2 })).toEqual([
    'worse than before: total 1.20, it was 1.00',
    'worse than before: restarts 2.00, it was 1.00',
  ]);
});
