import { byKind, ledgerStages, pathKinds, type Ledger, type LedgerRow, type PathKind } from '../ledger.ts';
import { tableHeader, tableRow } from './table.ts';

/** Formats the ledger as a Markdown table: one row per kind of path, with the stages before, during and after. */
export function ledgerMarkdown(ledger: Ledger): string {
  const stages = ledgerStages.filter((stage) => ledger[stage] !== undefined);
  const sums = new Map(stages.map((stage) => [stage, byKind(ledger[stage] ?? [])]));
  const titles = stages.flatMap((stage) => [`${stage}: lost`, 'lost ms', 'longest ms', 'p50/p99 ms']);
  const lines = tableHeader('path', ...titles);
  for (const kind of Object.keys(pathKinds) as PathKind[]) {
    const rows = stages.map((stage) => sums.get(stage)?.find((row) => row.kind === kind));
    if (rows.some((row) => row !== undefined)) lines.push(tableRow([kind, ...rows.flatMap(rowCells)]));
  }
  const during = ledger.during ?? [];
  const sum = (field: 'resets' | 'translated'): number => during.reduce((all, row) => all + row[field], 0);
  lines.push(
    '',
    `During the migration, ${sum('resets')} long-lived connections broke, and ${sum('translated')} samples arrived from`,
    "an address other than their sender's."
  );
  return lines.join('\n');
}

function rowCells(row: LedgerRow | undefined): (string | number)[] {
  if (row === undefined) return ['', '', '', ''];
  return [`${row.lost} of ${row.sent}`, row.lostMs, row.longestMs, `${row.p50Ms} / ${row.p99Ms}`];
}
