import { allTurns, fitting, type Turn } from '../turns.ts';

const small: Turn = { minutes: 5, suites: [], tools: 'lab' };
const large: Turn = { minutes: 20, suites: [], tools: 'lab', otherwise: small };

it.each<[string, Turn, number, { passed: number; expected: number; limit?: number }, Turn | undefined]>([
  ['all of it without a limit', large, 60, { passed: 500, expected: 50 }, large],
  ['all of it where it fits', large, 10, { passed: 50, expected: 50, limit: 80 }, large],
  ['less of it where it does not', large, 11, { passed: 50, expected: 50, limit: 80 }, small],
  ['nothing where not even that fits', large, 26, { passed: 50, expected: 50, limit: 80 }, undefined],
  ['less on a slow machine', large, 0, { passed: 50, expected: 25, limit: 80 }, small],
  ['no more on a fast machine', large, 0, { passed: 65, expected: 650, limit: 80 }, small],
  ['nothing that has no smaller one', small, 0, { passed: 76, expected: 76, limit: 80 }, undefined],
])('takes %s', (_, turn, building, pace, expected) => {
  expect(fitting(turn, building, pace)).toBe(expected);
});

it('has every test in one turn', () => {
  const patterns = allTurns.flatMap(({ suites }) => suites);
  const files = ['unit/a', 'workflow/a', 'api/a', 'api/stack', 'api/web-ui', 'lab/a', 'lab/migration', 'lab/policy'];
  for (const file of [...files, 'lab/crash']) {
    const taken = patterns.filter(
      ({ projects, only = '', without = '^$' }) =>
        projects.some((project) => file.startsWith(project)) &&
        new RegExp(only).test(`test/${file}`) &&
        !new RegExp(without).test(`test/${file}`)
    );
    expect({ file, times: taken.length }).toEqual({ file, times: 1 });
  }
});
