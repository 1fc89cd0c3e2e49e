import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { cpus, release, totalmem } from 'node:os';
import path from 'node:path';

/** What a figure was measured on. */
export interface MachineFacts {
  cores: number;
  cpu: string;
  memoryGiB: number;
  kernel: string;
  node: string;
}

/** What every result has beside its own. */
export interface Measured {
  /** When it was written down (ISO 8601, UTC). */
  measuredAt: string;
  machine: MachineFacts;
}

const folder = path.join(import.meta.dirname, 'results');

function machineFacts(): MachineFacts {
  return {
    cores: cpus().length,
    cpu: cpus()[0]?.model ?? '',
    memoryGiB: Math.round(totalmem() / 2 ** 30),
    kernel: release(),
    node: process.version,
  };
}

/** Writes a result down under its name, with when and on what it was measured. */
export async function writeResult(name: string, result: object): Promise<void> {
  const measured: Measured = { measuredAt: new Date().toISOString(), machine: machineFacts() };
  await mkdir(folder, { recursive: true });
  await writeFile(path.join(folder, `${name}.json`), `${JSON.stringify({ ...measured, ...result }, null, 2)}\n`);
}

/** Reads a result; undefined when it was never measured. */
export async function readResult<T>(name: string): Promise<(T & Measured) | undefined> {
  const text = await readFile(path.join(folder, `${name}.json`), 'utf8').catch(() => undefined);
  return text === undefined ? undefined : (JSON.parse(text) as T & Measured);
}

/** A number with so many digits after the point. */
export function rounded(value: number, digits = 1): number {
  return Number(value.toFixed(digits));
}

/** The middle of some numbers; of an even count, the mean of the two. */
export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const half = Math.floor(sorted.length / 2);
  const upper = sorted[half] ?? NaN;
  return sorted.length % 2 === 1 ? upper : ((sorted[half - 1] ?? NaN) + upper) / 2;
}
