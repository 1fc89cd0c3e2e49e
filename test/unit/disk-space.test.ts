import { tmpdir } from 'node:os';
import { toolsDir } from '../../lab/paths.ts';
import type { Artefact } from '../../lab/tools/artefact.ts';
import { getBuildCost, sharedCosts } from '../../lab/tools/build-costs.ts';
import { findShortages, computeSpaceNeeds } from '../../lab/tools/disk-space.ts';
import { goCacheDir } from '../../lab/tools/go-build.ts';

const artefact = (name: string, buildsWith?: 'go' | 'debootstrap'): Artefact => ({
  name,
  key: '0123456789ab',
  needs: [],
  ...(buildsWith && { buildsWith }),
  build: () => Promise.resolve(),
});

const bytesIn = (needs: Awaited<ReturnType<typeof computeSpaceNeeds>>, folder: string): number =>
  needs.filter((need) => need.folder === folder).reduce((sum, { bytes }) => sum + bytes, 0);

it('counts only missing tools', async () => {
  const one = await computeSpaceNeeds([artefact('etcd', 'go')], [], []);
  const none = await computeSpaceNeeds([], [], []);

  expect(bytesIn(one, toolsDir)).toBe(getBuildCost('etcd').result * 1e6);
  expect(bytesIn(one, goCacheDir)).toBe(getBuildCost('etcd').cache * 1e6);
  expect(bytesIn(one, tmpdir())).toBeGreaterThan(0);
  expect(none.every(({ bytes }) => bytes === 0)).toBe(true);
});

it('counts shared files once', async () => {
  const many = Array.from({ length: 100 }, (_, index) => artefact(`tool-${index}`, 'go'));

  const needs = await computeSpaceNeeds(many, [], []);

  expect(bytesIn(needs, goCacheDir)).toBe(sharedCosts.cache * 1e6);
});

it("counts the archives but no compiler's space for tools that are unpacked", async () => {
  const etcd = artefact('etcd', 'go');
  const archive = { name: 'etcd', key: etcd.key, file: 'etcd.tar.zst', size: 7, sha256: 'a'.repeat(64) };

  const needs = await computeSpaceNeeds([], [etcd], [archive]);

  expect(needs.map(({ folder }) => folder)).toEqual([toolsDir]);
  expect(bytesIn(needs, toolsDir)).toBe(getBuildCost('etcd').result * 1e6 + 7);
});

it('adds up the folders of one file system, and checks each file system', async () => {
  const needs = [
    { what: 'tools', folder: '/a', bytes: 60 },
    { what: 'cache', folder: '/b', bytes: 50 },
    { what: 'modules', folder: '/c', bytes: 70 },
  ];
  const readFileSystem = (folder: string): Promise<{ id: number; freeBytes: number }> =>
    Promise.resolve(folder === '/c' ? { id: 2, freeBytes: 80 } : { id: 1, freeBytes: 100 });

  expect(await findShortages(needs, readFileSystem)).toEqual([
    { folders: ['/a (tools)', '/b (cache)'], neededBytes: 110, freeBytes: 100 },
  ]);
});

it('checks the file system of a folder that does not exist yet', async () => {
  const folder = `${tmpdir()}/not/there/yet`;

  expect(await findShortages([{ what: 'tools', folder, bytes: Number.MAX_SAFE_INTEGER }])).toHaveLength(1);
  expect(await findShortages([{ what: 'tools', folder, bytes: 1 }])).toEqual([]);
});
