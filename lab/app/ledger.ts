import { readFile, readdir } from 'node:fs/promises';
import path from 'node:path';
import type { Lab } from '../cluster/lab.ts';

/** What the sample application's clients saw of one target. */
export interface TargetTotals {
  target: string;
  sent: number;
  failed: number;
}

/** One line of a client's ledger: about one second of one target (lab/app/main.go). */
export interface LedgerLine {
  /** When that second began (ISO 8601, UTC). */
  time: string;
  pod: string;
  target: string;
  sent: number;
  failed: number;
  error?: string;
  stage?: string;
}

/** The target that a NetworkPolicy forbids: there, every answer is one too many. */
export const forbiddenTarget = 'forbidden';

/** All lines that began at `since` or later, of pods that are gone too. */
export async function readLedger(lab: Lab, since: Date): Promise<LedgerLine[]> {
  const lines: LedgerLine[] = [];
  for (const node of lab.layout.nodeNames) {
    const dir = path.join(lab.layout.machineDir(node), 'volumes', 'var', 'lib', 'lab-ledger');
    for (const file of await readdir(dir).catch(() => [] as string[])) {
      const text = await readFile(path.join(dir, file), 'utf8');
      // A line that is being written, or was when its pod was killed, has no end yet.
      const complete = text
        .slice(0, text.lastIndexOf('\n') + 1)
        .split('\n')
        .filter(Boolean);
      lines.push(...complete.map((line) => JSON.parse(line) as LedgerLine));
    }
  }
  return lines.filter((line) => new Date(line.time) >= since);
}

/** Totals by target, in the order of their names. */
export function totals(lines: readonly LedgerLine[]): TargetTotals[] {
  const byTarget = new Map<string, TargetTotals>();
  for (const { target, sent, failed } of lines) {
    const sum = byTarget.get(target) ?? { target, sent: 0, failed: 0 };
    byTarget.set(target, { target, sent: sum.sent + sent, failed: sum.failed + failed });
  }
  return [...byTarget.values()].sort((a, b) => (a.target < b.target ? -1 : 1));
}
