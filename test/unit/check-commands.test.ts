import { spawnSync } from 'node:child_process';
import path from 'node:path';
import { projectDir } from '../../lab/paths.ts';

const script = path.join(projectDir, 'test', 'runner', 'check-commands.ts');

function check(searchPath: string | undefined): { status: number | null; stderr: string } {
  const { status, stderr } = spawnSync(process.execPath, [script], {
    env: { ...process.env, PATH: searchPath },
    encoding: 'utf8',
  });
  return { status, stderr };
}

it('names the missing commands of the tests, and the remedy', () => {
  const { status, stderr } = check('/nonexistent');

  expect(status).toBe(1);
  expect(stderr).toContain('the commands bash, git, mknod, tar: apt-get install bash coreutils git tar');
  expect(stderr).toContain('Go, for "go vet" and "go test"');
});

it('reports nothing when everything is installed', () => {
  expect(check(process.env['PATH'])).toEqual({ status: 0, stderr: '' });
});
