import { chmod, mkdir, readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { keyOf } from '../paths.ts';
import { run } from '../process.ts';
import type { Artefact } from './artefact.ts';

const pom = path.join(import.meta.dirname, 'temporal-test-server', 'pom.xml');

/** Temporal's time-skipping test server: `bin/temporal-test-server`, a wrapper around its jars. */
export async function testServerArtefact(): Promise<Artefact> {
  return {
    name: 'temporal-test-server',
    key: keyOf(await readFile(pom, 'utf8')),
    needs: [],
    build: async (dir, say) => {
      say('fetching its jars');
      const lib = path.join(dir, 'lib');
      await run('mvn', ['-q', '-B', '-f', pom, 'dependency:copy-dependencies', `-DoutputDirectory=${lib}`]);
      const wrapper = path.join(dir, 'bin', 'temporal-test-server');
      await mkdir(path.dirname(wrapper));
      await writeFile(
        wrapper,
        '#!/bin/sh\nexec java -cp "$(dirname "$0")/../lib/*" io.temporal.testserver.TestServer "$@"\n'
      );
      await chmod(wrapper, 0o755);
    },
  };
}
