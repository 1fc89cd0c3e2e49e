import { readFileSync } from 'node:fs';

const resources = ['cpu', 'io', 'memory'] as const;
type Resource = (typeof resources)[number];

/** For how long some task waited for a resource: shares of the time in percent, and the total since boot in ms. */
export interface ResourcePressure {
  avg10: number;
  avg60: number;
  avg300: number;
  totalMs: number;
}

/** The pressure of each resource; undefined where the kernel does not report it. */
export type Pressure = Readonly<Record<Resource, ResourcePressure | undefined>>;

/** Reads the machine's pressure (https://docs.kernel.org/accounting/psi.html). */
export function readPressure(dir = '/proc/pressure'): Pressure {
  const read = (resource: Resource): ResourcePressure | undefined => {
    try {
      return parsePressure(readFileSync(`${dir}/${resource}`, 'utf8'));
    } catch {
      // Kernels without CONFIG_PSI do not have the file, or refuse to read it.
      return undefined;
    }
  };
  return { cpu: read('cpu'), io: read('io'), memory: read('memory') };
}

/** Reads the line "some" of a file in /proc/pressure. */
export function parsePressure(text: string): ResourcePressure | undefined {
  const found = /^some avg10=([\d.]+) avg60=([\d.]+) avg300=([\d.]+) total=(\d+)$/m.exec(text);
  if (found === null) return undefined;
  const [avg10, avg60, avg300, totalUs] = found.slice(1).map(Number) as [number, number, number, number];
  return { avg10, avg60, avg300, totalMs: Math.round(totalUs / 1000) };
}

/**
 * Describes the pressure in one line.
 * @param before adds for how long tasks waited since then. @default without
 */
export function describePressure(now: Pressure, before?: Pressure): string {
  const parts = resources.map((resource) => {
    const some = now[resource];
    if (some === undefined) return `${resource} not available`;
    const from = before?.[resource];
    const waited = from === undefined ? '' : `, waited ${((some.totalMs - from.totalMs) / 1000).toFixed(1)} s`;
    return `${resource} ${some.avg10}/${some.avg60}/${some.avg300} %${waited}`;
  });
  return `machine's pressure (10 s/60 s/300 s): ${parts.join('; ')}`;
}
