import { parseNodeLedger, parseSnapshots } from '../../activities/probe/ledger-records.ts';

const record = { kind: 'pod-pod/small', peer: 'b', from: 'canal', to: 'cilium', sent: 5, gaps: [[1, 2, 3]] };
const page = (more: object): string =>
  JSON.stringify({ atMs: 1, pod: 'prober-x', records: [record], latency: null, ...more });

it('parses what a prober writes, with empty lists as Go encodes them', () => {
  expect(parseNodeLedger('a', 'pod', page({}))).toEqual({
    ...{ node: 'a', role: 'pod', atMs: 1, records: [record], latency: [] },
  });
  expect(parseNodeLedger('a', 'host', page({ records: null }))).toMatchObject({ records: [] });
});

it('leaves out paths of a kind that this build does not know', () => {
  const records = [record, { ...record, kind: 'pod-moon' }, { ...record, kind: 'constructor' }];

  expect(parseNodeLedger('a', 'pod', page({ records }))?.records).toEqual([record]);
});

it.each([
  ['text that is not valid JSON', '{'],
  ['null', 'null'],
  ['no time', page({ atMs: 'now' })],
  ['records that are no list', page({ records: { length: 1 } })],
  ['a record without a number', page({ records: [{ ...record, sent: '5' }] })],
  ['a negative number of losses', page({ records: [{ ...record, lost: -5 }] })],
  ['gaps without an end', page({ records: [{ ...record, gaps: [[1]] }] })],
  ['an infinite number', page({}).replace('"sent":5', '"sent":1e999')],
  ['too many records', page({ records: Array(10_001).fill(record) })],
])('counts a ledger with %s as none', (_title, json) => {
  expect(parseNodeLedger('a', 'pod', json)).toBeUndefined();
});

it('parses snapshots, ignores other entries, and names a stage that is not valid', () => {
  const row = {
    ...{ kind: 'pod-pod/small', from: 'canal', to: 'cilium', sent: 1, lost: 0, lostMs: 0, beyondBaselineMs: 0 },
    ...{ longestMs: 0, resets: 0, translated: 0, p50Ms: 0.1, p99Ms: 0.2 },
  };
  const before = { fromMs: 0, atMs: 9, totals: [], rows: [row] };
  const valid = JSON.stringify(before);

  expect(parseSnapshots({ before: valid, other: '{' })).toEqual({ snapshots: { before } });
  expect(parseSnapshots({ before: valid, during: '{"rows": [7]}' })).toEqual({ invalid: 'during' });
});
