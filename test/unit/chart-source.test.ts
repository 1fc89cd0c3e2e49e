import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { chmod, cp, mkdir, mkdtemp, readFile, rename, rm, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { MockActivityEnvironment } from '@temporalio/testing';
import { DefaultLogger } from '@temporalio/worker';
import { withChart, type ChartSource, type LocalChart } from '../../activities/helm/chart-source.ts';
import type { HelmSettings } from '../../activities/helm/command.ts';

// Failures are the subject of some of these tests.
const logger = new DefaultLogger('ERROR');

/** Where a chart comes from, and its digest. */
let dir: string;
let helm: HelmSettings;
beforeAll(async () => {
  dir = await mkdtemp(path.join(tmpdir(), 'cni-chart-'));
  helm = { binary: path.join(dir, 'helm') };
  // Writes its arguments into the archive that it pulls; "$6" is the folder.
  await writeFile(helm.binary, '#!/bin/sh\necho "$@" > "$6/cilium-1.20.2.tgz"\n');
  await chmod(helm.binary, 0o755);
});
afterAll(() => rm(dir, { recursive: true }));

const sha256 = (text: string): string => `sha256:${createHash('sha256').update(text).digest('hex')}`;
const registry = 'oci://registry.example.com/charts/cilium';

function fetch(
  source: Partial<ChartSource>,
  settings: Partial<HelmSettings> = {}
): Promise<LocalChart & { text: string }> {
  const whole = { cluster: 'prod', chart: registry, version: '1.20.2', ...source };
  return new MockActivityEnvironment(undefined, { logger }).run(() =>
    withChart({ ...helm, ...settings }, whole, async (chart) => ({
      ...chart,
      text: await readFile(chart.path, 'utf8').catch(() => 'a folder'),
    }))
  );
}

/** Creates a folder with a chart. */
async function createFolder(name: string): Promise<string> {
  const folder = path.join(dir, name);
  await mkdir(path.join(folder, 'templates'), { recursive: true });
  await writeFile(path.join(folder, 'Chart.yaml'), 'name: cilium\n');
  await writeFile(path.join(folder, 'templates', 'a.yaml'), 'a: 1\n');
  return folder;
}

it('pulls the version of a chart from a registry, and removes the copy afterwards', async () => {
  const { path: file, digest, text } = await fetch({});

  expect(text).toContain(`pull ${registry} --version 1.20.2 --destination `);
  expect(digest).toBe(sha256(text));
  expect(existsSync(path.dirname(file))).toBe(false);
});

it('copies an archive, whose digest is its SHA-256', async () => {
  const chart = path.join(dir, 'archive.tgz');
  await writeFile(chart, 'content');

  expect(await fetch({ chart })).toMatchObject({ digest: sha256('content'), text: 'content' });
});

it('computes the digest of a folder from the names and contents of its files only', async () => {
  const chart = await createFolder('first');
  const { digest } = await fetch({ chart });
  const template = path.join(chart, 'templates', 'a.yaml');
  const copy = path.join(dir, 'second');
  await cp(chart, copy, { recursive: true });
  await utimes(path.join(copy, 'Chart.yaml'), 1, 1);

  expect((await fetch({ chart: copy })).digest).toBe(digest);
  await rename(template, `${template}2`);
  expect((await fetch({ chart })).digest).not.toBe(digest);
  await rename(`${template}2`, template);
  expect((await fetch({ chart })).digest).toBe(digest);
  await writeFile(template, 'a: 2\n');
  expect((await fetch({ chart })).digest).not.toBe(digest);
});

it('accepts a chart with the digest of the input and of the policy, and refuses any other', async () => {
  const chart = await createFolder('pinned');
  const { digest } = await fetch({ chart });
  const other = sha256('other');

  expect(await fetch({ chart, chartDigest: digest }, { chartDigests: () => [other, digest] })).toMatchObject({
    digest,
  });
  const refused: [Partial<ChartSource>, Partial<HelmSettings>][] = [
    [{ chart, chartDigest: other }, {}],
    [{ chart }, { chartDigests: () => [other] }],
    [{ chart }, { chartDigests: () => [] }],
  ];
  for (const [source, settings] of refused)
    await expect(fetch(source, settings)).rejects.toMatchObject({ type: 'UnexpectedChart', nonRetryable: true });
});

it.each([
  ['does not exist', '/no/such/chart', '/no/such/chart (ENOENT)'],
  ['is a folder without Chart.yaml', tmpdir(), '(ENOENT)'],
])('reports a chart that %s', async (_, chart, message) => {
  await expect(fetch({ chart })).rejects.toMatchObject({
    ...{ type: 'HelmFailed', nonRetryable: false },
    message: expect.stringContaining(message) as string,
  });
});

it('takes no chart from a source that the worker does not allow', async () => {
  await expect(fetch({}, { charts: ['oci://quay.io'] })).rejects.toMatchObject({ type: 'InvalidInput' });
});
