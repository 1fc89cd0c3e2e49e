import { addMeasured, durationText, expectedSeconds, type TimeBasis } from '../../model/step-times.ts';

const basis = (more: Partial<TimeBasis> = {}): TimeBasis => ({
  ledger: { baselineSeconds: 30 },
  graceSeconds: new Map([
    ['a', 30],
    ['b', 900],
  ]),
  migrated: [],
  measured: {},
  ...more,
});
const wave = (...nodes: string[]) => ({ kind: 'wave' as const, nodes });
const rollback = (...nodes: string[]) => ({ kind: 'rollback' as const, nodes });

describe('the expected duration', () => {
  it('of a wave is that of its slowest node, with the grace periods of its pods', () => {
    const [a, both, unknown] = [wave('a'), wave('a', 'b'), wave('c')].map((step) => expectedSeconds(step, basis()));

    expect([a, both]).toEqual([70, 940]);
    expect(unknown).toBe(40);
  });

  it('of a wave is the median of the nodes that were migrated, which an outlier does not change', () => {
    const migrated = [{ seconds: 50 }, { seconds: 36_000 }, {}, { seconds: 60 }];

    expect(expectedSeconds(wave('b'), basis({ migrated }))).toBe(60);
  });

  it('of a rollback is that of earlier rollbacks, otherwise that of a migration', () => {
    const migrated = [{ seconds: 50 }];

    expect(expectedSeconds(rollback('a'), basis())).toBe(70);
    expect(expectedSeconds(rollback('a'), basis({ migrated }))).toBe(50);
    expect(expectedSeconds(rollback('a'), basis({ migrated, measured: { rollbackWave: [20] } }))).toBe(20);
  });

  it('of the agents grows with their waves', () => {
    const step = { kind: 'agents' as const, waves: 4 };

    expect(expectedSeconds(step, basis())).toBe(60);
    expect(expectedSeconds(step, basis({ measured: { agentWave: [25] } }))).toBe(100);
  });

  it('of the installation includes the baseline until it is recorded', () => {
    const [first, second] = [false, true].map((hasBaseline) =>
      expectedSeconds({ kind: 'installation', hasBaseline }, basis())
    );

    expect(first).toBe(90);
    expect(second).toBe(60);
  });

  it('of a removal is that in the lab', () => {
    expect(expectedSeconds({ kind: 'removal' }, basis())).toBe(60);
  });
});

it('keeps the latest measurements', () => {
  let times = {};
  for (let seconds = 1; seconds <= 25; seconds++) times = addMeasured(times, 'agentWave', seconds);

  expect(times).toEqual({ agentWave: Array.from({ length: 20 }, (_, index) => index + 6) });
});

it.each([
  [0, '0 s'],
  [59.4, '59 s'],
  [59.9, '1 min'],
  [60, '1 min'],
  [61, '2 min'],
  [3_599, '1 h'],
  [3_601, '1 h 1 min'],
  [7_200, '2 h'],
])('formats %d s as %s', (seconds, text) => {
  expect(durationText(seconds)).toBe(text);
});
