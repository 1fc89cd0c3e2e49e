import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { MockActivityEnvironment } from '@temporalio/testing';
import { DefaultLogger } from '@temporalio/worker';
import { runHelm } from '../../activities/helm/command.ts';
import { readBody } from '../../activities/probe/gates/external.ts';

let dir: string;
beforeAll(async () => {
  dir = await mkdtemp(path.join(tmpdir(), 'cni-output-'));
});
afterAll(() => rm(dir, { recursive: true }));

/** Runs a script instead of Helm. */
async function run(script: string): Promise<string> {
  const binary = path.join(dir, 'helm');
  await writeFile(binary, `#!/bin/bash\n${script}\n`);
  await chmod(binary, 0o755);
  const environment = new MockActivityEnvironment(undefined, { logger: new DefaultLogger('ERROR') });
  return environment.run(() => runHelm({ binary }, ['get', 'values']));
}

it('ends Helm when it prints without an end', async () => {
  await expect(run('yes')).rejects.toMatchObject({
    type: 'HelmFailed',
    message: expect.stringContaining('helm get values printed more than 20000000 bytes') as string,
  });
});

it('keeps the beginning of endless errors of Helm only, and waits for its end', async () => {
  expect(await run('echo done; head --bytes 30000000 /dev/zero >&2')).toBe('done\n');
});

it('does not split a character that arrives in two parts', async () => {
  expect(await run("printf '\\303'; sync; printf '\\244'")).toBe('\u00e4');
});

it('stops to read an answer of a gate that is too long', async () => {
  let sent = 0;
  let isClosed = false;
  async function* endless(): AsyncGenerator<Uint8Array> {
    try {
      for (; ; sent++) yield await Promise.resolve(Buffer.alloc(1_000_000));
    } finally {
      isClosed = true;
    }
  }

  await expect(readBody(endless())).rejects.toThrow('the answer has more than 1000000 bytes');

  expect({ sent, isClosed }).toEqual({ sent: 1, isClosed: true });
});
