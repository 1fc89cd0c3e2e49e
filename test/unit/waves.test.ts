import { allWaves, nextWave, type Candidate } from '../../model/waves.ts';

const node = (name: string, more: Partial<Candidate> = {}): Candidate => ({
  name,
  controlPlane: false,
  hostsWorker: false,
  ...more,
});
const controlPlane = { controlPlane: true };
const nodes = [
  node('cp-1', controlPlane),
  node('w-3'),
  node('home', { hostsWorker: true }),
  node('cp-0', controlPlane),
  node('w-10'),
  node('w-1'),
  node('w-2'),
];
const waves = (size: number, canary?: string, proven = false): string[] =>
  allWaves(nodes, { maxConcurrency: size, canaryNode: canary, proven }).map((wave) => wave.nodes.join(' '));

it.each([
  ['one by one', 1, undefined, false, ['w-1', 'w-10', 'w-2', 'w-3', 'cp-0', 'cp-1', 'home']],
  [
    'a canary, then several; never two control planes',
    3,
    undefined,
    false,
    ['w-1', 'w-10 w-2 w-3', 'cp-0', 'cp-1', 'home'],
  ],
  ['the canary that was asked for', 2, 'w-3', false, ['w-3', 'w-1 w-10', 'w-2', 'cp-0', 'cp-1', 'home']],
  ['a canary that is not there', 5, 'gone', false, ['w-1', 'w-10 w-2 w-3', 'cp-0', 'cp-1', 'home']],
  ['no canary when it was proven before', 5, undefined, true, ['w-1 w-10 w-2 w-3', 'cp-0', 'cp-1', 'home']],
])('plans %s', (_, size, canary, proven, expected) => {
  expect(waves(size, canary, proven)).toEqual(expected);
});

it('says why', () => {
  expect(nextWave([node('a')], { maxConcurrency: 1, proven: false })).toEqual({ nodes: ['a'], reason: 'canary' });
  expect(nextWave([node('a', controlPlane)], { maxConcurrency: 9, proven: true })?.reason).toContain('control plane');
  expect(nextWave([], { maxConcurrency: 9, proven: true })).toBeUndefined();
});

it('puts a control plane that runs the worker last', () => {
  const last = node('a', { controlPlane: true, hostsWorker: true });
  expect(
    allWaves([last, node('b', controlPlane)], { maxConcurrency: 2, proven: true }).map((wave) => wave.nodes)
  ).toEqual([['b'], ['a']]);
});

it('plans the same waves as are taken one by one', () => {
  for (const size of [1, 2, 3, 7]) {
    for (const canary of [undefined, 'w-2', 'cp-0', 'home', 'gone']) {
      const taken: (readonly string[])[] = [];
      for (let left = nodes; left.length > 0;) {
        const wave =
          nextWave(left, { maxConcurrency: size, canaryNode: canary, proven: taken.length > 0 })?.nodes ?? [];
        taken.push(wave);
        left = left.filter(({ name }) => !wave.includes(name));
      }
      expect(waves(size, canary)).toEqual(taken.map((wave) => wave.join(' ')));
    }
  }
});
