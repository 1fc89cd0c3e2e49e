import { createHash } from 'node:crypto';
import { copyFile, mkdir, mkdtemp, readFile, readdir, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { ApplicationFailure } from '@temporalio/common';
import { contentDigest } from '../../model/content-digest.ts';
import { policyLine } from '../../model/cluster-policy.ts';
import { failure } from '../support/failures.ts';
import { chartArguments, runHelm, type HelmSettings } from './command.ts';

/** Limits of a chart that is a folder, and of its depth. Cilium's chart has 200 files with 2 MB. */
const maxFiles = 5_000;
const maxBytes = 64_000_000;
const maxDepth = 20;

/** A chart as an input names it. */
export interface ChartSource {
  cluster: string;
  /** An `oci://` reference, or a path on the worker's machine. */
  chart: string;
  /** Version; ignored for a path. */
  version: string;
  /**
   * Digest that it must have.
   * @default any
   */
  chartDigest?: string | undefined;
}

/** A copy of a chart, which nobody changes while it is used. */
export interface LocalChart {
  /** Path of its archive or folder. */
  path: string;
  /** `sha256:` and 64 hexadecimal digits. */
  digest: string;
}

/**
 * Fetches a chart once, and calls back with the copy: everything that is rendered and applied in one step comes from the
 * same bytes.
 * @throws HelmFailed when it cannot be fetched; retryable.
 * @throws UnexpectedChart when it has another digest than the input or the policy of the cluster requires.
 */
export async function withChart<T>(
  helm: HelmSettings,
  source: ChartSource,
  work: (chart: LocalChart) => Promise<T>
): Promise<T> {
  const folder = await mkdtemp(path.join(tmpdir(), 'cni-migration-chart-'));
  try {
    const local = await fetchChart(helm, source, folder);
    requireDigest(local.digest, source, helm.chartDigests?.(source.cluster));
    return await work(local);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** True for a failure of {@link withChart}, or of what it rendered: the chart itself has to be changed. */
export function isChartFailure(error: unknown): error is ApplicationFailure {
  return error instanceof ApplicationFailure && ['HelmFailed', 'UnexpectedChart'].includes(error.type ?? '');
}

function requireDigest(
  digest: string,
  { cluster, chart, chartDigest }: ChartSource,
  allowed: readonly string[] | undefined
): void {
  const found = `the chart ${chart} has the digest ${digest}`;
  if (chartDigest !== undefined && chartDigest !== digest)
    throw failure('UnexpectedChart', `${found}, and chartDigest of the input is ${chartDigest}; nothing was changed`);
  if (allowed !== undefined && !allowed.includes(digest)) {
    const list = allowed.join(', ') || 'none';
    const line = policyLine('chartDigests', cluster);
    throw failure('UnexpectedChart', `${found}; ${line} allows ${list}; nothing was changed`);
  }
}

async function fetchChart(helm: HelmSettings, source: ChartSource, folder: string): Promise<LocalChart> {
  const { chart, version } = source;
  // Also checks that the worker may take charts from there.
  const args = chartArguments(helm, chart, version);
  if (!chart.startsWith('/')) {
    await runHelm(helm, ['pull', ...args, '--destination', folder]);
    const [archive] = (await readdir(folder)).filter((name) => name.endsWith('.tgz'));
    if (archive === undefined)
      throw failure('HelmFailed', `helm pull of ${chart} left no archive`, { retryable: true });
    const file = path.join(folder, archive);
    return { path: file, digest: sha256(await readFile(file)) };
  }
  const copy = path.join(folder, path.basename(chart));
  try {
    return (await stat(chart)).isDirectory() ? await copyFolder(chart, copy) : await copyArchive(chart, copy);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === undefined) throw error;
    throw failure('HelmFailed', `chart: the worker cannot read ${chart} (${code})`, { retryable: true });
  }
}

async function copyArchive(file: string, copy: string): Promise<LocalChart> {
  const { size } = await stat(file);
  if (size > maxBytes) throw tooLarge(file);
  await copyFile(file, copy);
  return { path: copy, digest: sha256(await readFile(copy)) };
}

/** Copies a folder. Its digest covers the path and the content of each file, and neither times nor permissions. */
async function copyFolder(chart: string, copy: string): Promise<LocalChart> {
  if (!(await stat(path.join(chart, 'Chart.yaml'))).isFile()) throw failure('HelmFailed', `${chart} has no Chart.yaml`);
  const files: [name: string, digest: string][] = [];
  let bytes = 0;
  const copyLevel = async (level: string, depth: number): Promise<void> => {
    await mkdir(path.join(copy, level), { recursive: true });
    for (const entry of await readdir(path.join(chart, level))) {
      const name = path.join(level, entry);
      // Like Helm, it follows symbolic links.
      const facts = await stat(path.join(chart, name));
      if (facts.isDirectory() && depth < maxDepth) await copyLevel(name, depth + 1);
      if (!facts.isFile()) continue;
      bytes += facts.size;
      if (bytes > maxBytes || files.length >= maxFiles) throw tooLarge(chart);
      await copyFile(path.join(chart, name), path.join(copy, name));
      files.push([name, sha256(await readFile(path.join(copy, name)))]);
    }
  };
  await copyLevel('', 0);
  files.sort(([a], [b]) => (a < b ? -1 : 1));
  return { path: copy, digest: `sha256:${contentDigest(files)}` };
}

function tooLarge(chart: string): Error {
  return failure('HelmFailed', `the chart ${chart} has more than ${maxFiles} files or ${maxBytes} bytes`);
}

function sha256(content: Buffer): string {
  return `sha256:${createHash('sha256').update(content).digest('hex')}`;
}
