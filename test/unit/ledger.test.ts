import {
  byKind,
  latencyBound,
  percentile,
  buildLedgerRows,
  computeTotals,
  type NodeLedger,
  type PathRecord,
} from '../../model/ledger.ts';
import { ledgerMarkdown } from '../../model/markdown/ledger.ts';

const path = (more: Partial<PathRecord>): PathRecord => ({
  kind: 'pod-pod/small',
  peer: 'b',
  from: 'canal',
  to: 'canal',
  sent: 100,
  ...more,
});
const page = (records: PathRecord[], counts: number[] = []): NodeLedger => ({
  node: 'a',
  role: 'pod',
  atMs: 10_000,
  records,
  latency: [{ kind: 'pod-pod/small', from: 'canal', to: 'canal', counts }],
});

it('adds up the paths of a class over all probers', () => {
  const pages = [
    page([path({ lost: 2, lostMs: 100 }), path({ peer: 'c', resets: 1 })], [1, 2]),
    page([path({ translated: 3 }), path({ to: 'cilium', sent: 7 })], [0, 5, 1]),
  ];
  expect(computeTotals(pages)).toEqual([
    expect.objectContaining({
      to: 'canal',
      sent: 300,
      lost: 2,
      lostMs: 100,
      resets: 1,
      translated: 3,
      counts: [1, 7, 1],
    }),
    expect.objectContaining({ to: 'cilium', sent: 7 }),
  ]);
});

it('subtracts earlier totals from those of a stage', () => {
  const first = [page([path({ lost: 1, lostMs: 50, gaps: [[1_000, 50, 1]] })], [100])];
  const begin = { atMs: 5_000, totals: computeTotals(first) };
  const later = [
    page(
      [
        path({
          sent: 300,
          lost: 11,
          lostMs: 650,
          gaps: [
            [1_000, 50, 1],
            [4_900, 600, 10],
          ],
        }),
      ],
      [100, 200]
    ),
  ];
  const [row] = buildLedgerRows(later, begin, []);
  // The gap began 100 ms before the stage.
  expect(row).toMatchObject({ sent: 200, lost: 10, lostMs: 600, longestMs: 500 });
  expect(row?.p50Ms).toBeCloseTo(latencyBound(1), 1);
});

it('subtracts the share that was lost before the migration', () => {
  const before = buildLedgerRows([page([path({ sent: 1_000, lost: 10, lostMs: 1_000 })])], undefined, []);
  const [row] = buildLedgerRows([page([path({ sent: 2_000, lost: 30, lostMs: 5_000 })])], undefined, before);
  expect(row).toMatchObject({ lostMs: 5_000, beyondBaselineMs: 3_000 });
});

it('omits paths that were not sampled in the stage', () => {
  const pages = [page([path({})])];
  expect(buildLedgerRows(pages, { atMs: 0, totals: computeTotals(pages) }, [])).toEqual([]);
});

it.each([
  ['nothing', [], 0.5, 0],
  ['one class', [0, 0, 10], 0.99, latencyBound(2)],
  ['the median', [5, 4, 1], 0.5, latencyBound(0)],
  ['the tail', [98, 1, 1], 0.99, latencyBound(1)],
])('gives the percentile of %s', (_, counts, share, expected) => {
  expect(percentile(counts, share)).toBe(expected);
});

it('shows one line for each kind of path, with every stage', () => {
  const before = buildLedgerRows([page([path({})])], undefined, []);
  const during = buildLedgerRows(
    [page([path({ lost: 3, lostMs: 150 }), path({ to: 'cilium', sent: 50, resets: 2 })])],
    undefined,
    []
  );
  expect(byKind(during)).toHaveLength(1);
  const text = ledgerMarkdown({ before, during });
  expect(text).toContain('| pod-pod/small | 0 of 100 | 0 |');
  expect(text).toContain('| 3 of 150 | 150 |');
  expect(text).toContain('2 long-lived connections broke');
});
