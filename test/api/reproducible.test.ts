import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { projectDir } from '../../lab/paths.ts';
import { run } from '../../lab/process.ts';
import type { PackedBundle } from '../../lab/tools/pack.ts';
import { readCommittedList } from '../../lab/tools/prebuilt-list.ts';

it('builds a tool from scratch with the digest in the committed list', async () => {
  const scratch = await mkdtemp(path.join(tmpdir(), 'cni-rebuilt-'));
  const script = path.join(projectDir, 'test', 'support', 'pack-tools.ts');
  const { CNI_LAB_PREBUILT: _, ...rest } = process.env;
  const env = { ...rest, CNI_LAB_CACHE: path.join(scratch, 'cache') };
  try {
    const { archives } = JSON.parse(
      await run('node', [script, path.join(scratch, 'bundle'), 'cni-plugins'], { env })
    ) as PackedBundle;

    // After a change of that tool, copy its new entry into lab/tools/prebuilt.json: it is the received value.
    expect(archives).toEqual((await readCommittedList()).filter(({ name }) => name === 'cni-plugins'));
  } finally {
    await rm(scratch, { recursive: true, force: true });
  }
});
