import { readFile, readdir } from 'node:fs/promises';
import path from 'node:path';
import type { Lab } from '../cluster/lab.ts';

/** Totals of one target over all clients of the sample application. */
export interface TargetTotals {
  target: string;
  sent: number;
  failed: number;
}

/** One line of a client's ledger: about one second of one target (lab/app/main.go). */
export interface LedgerLine {
  /** Start of that second (ISO 8601, UTC). */
  time: string;
  pod: string;
  target: string;
  sent: number;
  failed: number;
  error?: string;
  stage?: string;
}

/** Target that a NetworkPolicy forbids: every answer from it is a violation. */
export const forbiddenTarget = 'forbidden';

/** Returns all lines that began at `since` or later, including those of deleted pods. */
export async function readLedger(lab: Lab, since: Date): Promise<LedgerLine[]> {
  const lines: LedgerLine[] = [];
  for (const node of lab.layout.nodeNames) {
    const dir = path.join(lab.layout.machineDir(node), 'volumes', 'var', 'lib', 'lab-ledger');
    for (const file of await readdir(dir).catch(() => [] as string[])) {
      const text = await readFile(path.join(dir, file), 'utf8');
      // An incomplete line has no line end yet: it is being written, or its pod was killed meanwhile.
      const complete = text
        .slice(0, text.lastIndexOf('\n') + 1)
        .split('\n')
        .filter(Boolean);
      lines.push(...complete.map((line) => JSON.parse(line) as LedgerLine));
    }
  }
  return lines.filter((line) => new Date(line.time) >= since);
}

/** Returns the totals by target, sorted by target name. */
export function totals(lines: readonly LedgerLine[]): TargetTotals[] {
  const byTarget = new Map<string, TargetTotals>();
  for (const { target, sent, failed } of lines) {
    const sum = byTarget.get(target) ?? { target, sent: 0, failed: 0 };
    byTarget.set(target, { target, sent: sum.sent + sent, failed: sum.failed + failed });
  }
  return [...byTarget.values()].sort((a, b) => (a.target < b.target ? -1 : 1));
}
