import { chmod, mkdir, readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { keyOf } from '../paths.ts';
import { CommandFailed, run } from '../process.ts';
import type { Artefact } from './artefact.ts';

const pom = path.join(import.meta.dirname, 'temporal-test-server', 'pom.xml');

const main = ['-cp', 'lib/*', 'io.temporal.testserver.TestServer'];

/**
 * The SDK gives it 5 s to start, which are too few where a machine is busy: with its classes as the JVM wants them, and
 * a compiler that takes less time, it takes a third of the processor time. An archive holds for the same class path
 * alone, hence a relative one; a JVM that cannot use the archive does without.
 */
const wrapper = `#!/bin/sh
cd "$(dirname "$0")/.." || exit
exec java -Xshare:auto -XX:SharedArchiveFile=classes.jsa -XX:TieredStopAtLevel=1 -XX:+UseSerialGC ${main.map((arg) => `'${arg}'`).join(' ')} "$@"
`;

/** Temporal's time-skipping test server: `bin/temporal-test-server`, a wrapper around its jars. */
export async function testServerArtefact(): Promise<Artefact> {
  return {
    name: 'temporal-test-server',
    key: keyOf(await readFile(pom, 'utf8'), wrapper),
    needs: [],
    build: async (dir, say) => {
      say('fetching its jars');
      const lib = path.join(dir, 'lib');
      await run('mvn', ['-q', '-B', '-f', pom, 'dependency:copy-dependencies', `-DoutputDirectory=${lib}`]);
      say('archiving its classes');
      await archiveClasses(dir);
      const file = path.join(dir, 'bin', 'temporal-test-server');
      await mkdir(path.dirname(file));
      await writeFile(file, wrapper);
      await chmod(file, 0o755);
    },
  };
}

/** Runs it for as long as it takes to start; the JVM keeps what classes it had when it ends. */
async function archiveClasses(cwd: string): Promise<void> {
  const seconds = 10;
  const anyPort = '0';
  const java = ['java', '-XX:ArchiveClassesAtExit=classes.jsa', '-XX:+UseSerialGC', ...main, anyPort];
  try {
    await run('timeout', [String(seconds), ...java], { cwd });
  } catch (error) {
    // timeout(1) ended it.
    if (!(error instanceof CommandFailed && error.code === 124)) throw error;
  }
}
