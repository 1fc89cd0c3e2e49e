import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { cpus, release, totalmem } from 'node:os';
import path from 'node:path';

/** Machine on which a figure was measured. */
export interface MachineFacts {
  cores: number;
  cpu: string;
  memoryGiB: number;
  kernel: string;
  node: string;
}

/** Common part of every result. */
export interface Measured {
  /** Time of the measurement (ISO 8601, UTC). */
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

/** Stores a result under its name, with the time and the machine. */
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

/** Rounds a number to the given number of decimal places. */
export function rounded(value: number, digits = 1): number {
  return Number(value.toFixed(digits));
}

/** Returns the median of numbers; for an even count, the mean of the two middle ones. */
export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const half = Math.floor(sorted.length / 2);
  const upper = sorted[half] ?? NaN;
  return sorted.length % 2 === 1 ? upper : ((sorted[half - 1] ?? NaN) + upper) / 2;
}
