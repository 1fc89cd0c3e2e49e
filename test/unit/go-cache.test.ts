import { spawn } from 'node:child_process';
import { mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import type * as processModule from '../../lab/process.ts';
import type * as goCacheModule from '../../lab/tools/go-cache.ts';

let cache = '';
let goCache: typeof goCacheModule;
let processes: typeof processModule;

beforeAll(async () => {
  cache = await mkdtemp(path.join(tmpdir(), 'cni-go-cache-'));
  // The folders are fixed when the modules are loaded.
  process.env['CNI_LAB_CACHE'] = cache;
  goCache = await import('../../lab/tools/go-cache.ts');
  processes = await import('../../lab/process.ts');
});

beforeEach(async () => {
  await mkdir(path.join(cache, 'go-build', '00'), { recursive: true });
  await mkdir(path.join(cache, 'tools'), { recursive: true });
});

afterAll(() => rm(cache, { recursive: true, force: true }));

const lockFor = async (pid: number): Promise<void> => {
  const owner = await processes.identifyProcess(pid);
  await writeFile(path.join(cache, 'tools', 'etcd-0123456789ab.lock'), JSON.stringify(owner));
};

it('removes the build cache, and accepts a missing one', async () => {
  expect(await goCache.removeGoCache({})).toBe(true);
  expect(await readdir(cache)).toEqual(['tools']);
  expect(await goCache.removeGoCache({})).toBe(false);
});

it('keeps it when the environment variable is set', async () => {
  expect(await goCache.removeGoCache({ CNI_LAB_KEEP_GO_CACHE: '1' })).toBe(false);
  expect(await readdir(cache)).toContain('go-build');
});

it('keeps it only while another process builds', async () => {
  const other = spawn('sleep', ['60']);
  const gone = new Promise((resolve) => other.once('exit', resolve));
  await lockFor(other.pid ?? 0);

  expect(await goCache.removeGoCache({})).toBe(false);

  other.kill();
  await gone;
  expect(await goCache.removeGoCache({})).toBe(true);
});

it('distinguishes its own lock from that of another process', async () => {
  await lockFor(process.pid);

  expect(await goCache.removeGoCache({})).toBe(true);
});
