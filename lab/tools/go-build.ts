import { run } from '../process.ts';

/**
 * Builds a Go program of this project, for any machine that has its kernel: nothing of this one is in it.
 * @param source folder of its main package.
 * @param out file to write.
 */
export async function buildGo(source: string, out: string): Promise<void> {
  const env = { ...process.env, CGO_ENABLED: '0', GOTOOLCHAIN: 'local', GOWORK: 'off' };
  await run('go', ['build', '-trimpath', '-buildvcs=false', '-ldflags', '-s -w', '-o', out, '.'], { cwd: source, env });
}
