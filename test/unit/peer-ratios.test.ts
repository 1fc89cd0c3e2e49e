import { peerRatios, type MigrationResult } from '../bench/peer/result.ts';

const run = (seconds: number, node: number, restartsPerPod = 1): MigrationResult => ({
  ...{ seconds, phases: {}, nodes: { a: node, b: node }, requests: 0, lost: 0, lostMs: 0, wrongVerdictMs: 0 },
  restartsPerPod,
});

it('computes the ratio of each pair, and the median', () => {
  const pairs = [
    { byHand: run(100, 10), service: run(150, 10) },
    { byHand: run(200, 10), service: run(200, 20) },
    { byHand: run(100, 20), service: run(300, 40, 3) },
  ];
  expect(peerRatios(pairs)).toEqual({ total: 1.5, node: 2, restarts: 1 });
});
