import { readdirSync } from 'node:fs';
import path from 'node:path';
import { projectDir } from '../../lab/paths.ts';
import { allTurns, fits } from '../turns.ts';

it.each<[string, number, { passed: number; expected: number; limit?: number }, boolean]>([
  ['is time for everything without a limit', 500, { passed: 500, expected: 50 }, true],
  ['is time for what just fits', 30, { passed: 50, expected: 50, limit: 80 }, true],
  ['is none for what does not', 31, { passed: 50, expected: 50, limit: 80 }, false],
  ['is less on a slow machine', 16, { passed: 50, expected: 25, limit: 80 }, false],
  ['is no more on a fast machine', 16, { passed: 65, expected: 650, limit: 80 }, false],
  ['is time at the very beginning', 80, { passed: 0, expected: 0, limit: 80 }, true],
])('there %s', (_, minutes, pace, expected) => {
  expect(fits(minutes, pace)).toBe(expected);
});

it('has every test file in one turn', () => {
  for (const project of ['unit', 'workflow', 'api', 'lab']) {
    const files = readdirSync(path.join(projectDir, 'test', project)).filter((file) => file.endsWith('.test.ts'));
    expect(files.length).toBeGreaterThan(3);
    for (const file of files) {
      const taken = allTurns.filter(
        ({ projects, only = '', without = '^$' }) =>
          projects.includes(project) &&
          new RegExp(only).test(`test/${project}/${file}`) &&
          !new RegExp(without).test(`test/${project}/${file}`)
      );
      expect({ project, file, times: taken.length }).toEqual({ project, file, times: 1 });
    }
  }
});
