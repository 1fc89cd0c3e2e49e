import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { projectDir } from '../../lab/paths.ts';
import { run } from '../../lab/process.ts';
import { goCacheDir } from '../../lab/tools/go-build.ts';

/** A bill of materials, as far as it is read here. */
interface Sbom {
  bomFormat: string;
  metadata: { component: { name: string } };
  components: { name: string; group?: string; version: string }[];
}

let dir: string;
beforeAll(async () => {
  dir = await mkdtemp(path.join(tmpdir(), 'cni-sbom-'));
});
afterAll(() => rm(dir, { recursive: true }));

it('writes a bill of materials of the worker and of each Go program', async () => {
  const script = path.join(projectDir, 'scripts', 'sbom.ts');
  await run(process.execPath, [script, dir], { env: { ...process.env, GOCACHE: goCacheDir } });
  const read = async (name: string): Promise<Sbom> =>
    JSON.parse(await readFile(path.join(dir, `${name}.cdx.json`), 'utf8')) as Sbom;
  const [worker, prober, coexistence] = await Promise.all([read('worker'), read('prober'), read('coexistence')]);
  const names = ({ components }: Sbom): string[] =>
    components.map(({ group, name }) => (group === undefined ? name : `${group}/${name}`));

  for (const { bomFormat } of [worker, prober, coexistence]) expect(bomFormat).toBe('CycloneDX');
  expect(worker.metadata.component.name).toBe('cni-live-migration');
  expect(names(worker)).toContain('@temporalio/worker');
  expect(names(worker)).not.toContain('jest');
  expect(prober.metadata.component.name).toBe('cni-live-migration/prober');
  expect(names(prober)).toEqual(['std']);
  expect(coexistence.metadata.component.name).toBe('cni-live-migration/coexistence');
  expect(names(coexistence)).toEqual(expect.arrayContaining(['std', 'k8s.io/client-go']));
});
