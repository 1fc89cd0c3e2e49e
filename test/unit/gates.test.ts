import {
  breachText,
  findBreaches,
  tunnelSuspicion,
  withPolicies,
  type Gates,
  type GateScope,
} from '../../model/gates.ts';
import type { NodeLedger, PathRecord } from '../../model/ledger.ts';

const gates: Gates = { toleranceMs: 1_000, paths: {}, prometheus: [], http: [] };
const gateScope = (more: Partial<GateScope> = {}): GateScope => ({
  gates,
  sinceMs: 100_000,
  untilMs: 200_000,
  baseline: { fromMs: 0, toMs: 50_000 },
  ...more,
});
const path = (more: Partial<PathRecord>): PathRecord => ({
  kind: 'pod-pod/udp',
  peer: 'b',
  from: 'canal',
  to: 'cilium',
  sent: 1_000,
  ...more,
});
const page = (node: string, ...records: PathRecord[]): NodeLedger => ({
  node,
  role: 'pod',
  atMs: 200_000,
  records,
  latency: [],
});
const gap = (startMs: number, ms: number): [number, number, number] => [startMs, ms, 1];

describe('a gate', () => {
  it.each([
    ['a path without losses', path({}), 0],
    ['as much as is tolerated', path({ gaps: [gap(150_000, 1_000)] }), 0],
    ['more than is tolerated', path({ gaps: [gap(150_000, 1_001)] }), 1_001],
    ['several gaps together', path({ gaps: [gap(110_000, 600), gap(150_000, 600)] }), 1_200],
    ['a gap from before', path({ gaps: [gap(60_000, 30_000)] }), 0],
    ['the part of a gap since then', path({ gaps: [gap(99_000, 3_000)] }), 2_000],
    ['a gap that it found, and that is over', path({ gaps: [gap(90_000, 30_000)] }), 0],
    ['a gap that it found, and that is not over', path({ gaps: [gap(90_000, 110_000)], openMs: 90_000 }), 100_000],
    ['the part of a gap until now', path({ gaps: [gap(198_000, 60_000)] }), 2_000],
    ['what was usual before', path({ gaps: [gap(10_000, 2_500), gap(150_000, 5_900)] }), 0],
    ['more than was usual before', path({ gaps: [gap(10_000, 2_500), gap(150_000, 7_000)] }), 2_000],
    ['a path that was broken before', path({ gaps: [gap(0, 200_000)] }), 0],
    ['an answer that policy forbids', path({ kind: 'pod-pod/denied', gaps: [gap(150_000, 9_000)] }), 0],
  ])('evaluates %s', (_, record, lostMs) => {
    const breaches = findBreaches([page('a', record)], gateScope());
    expect(breaches.map((breach) => breach.lostMs)).toEqual(lostMs === 0 ? [] : [lostMs]);
  });

  it('adds up the losses of one path in both networks', () => {
    const records = [path({ gaps: [gap(150_000, 700)] }), path({ from: 'cilium', gaps: [gap(160_000, 700)] })];
    expect(findBreaches([page('a', ...records)], gateScope())).toHaveLength(1);
  });

  it('evaluates only paths from and to its nodes', () => {
    const bad = { gaps: [gap(150_000, 9_000)] };
    const pages = [
      page('a', path({ ...bad, peer: 'b' }), path({ ...bad, peer: 'c' })),
      page('b', path({ kind: 'pod-service', peer: '', ...bad })),
      page('c', path({ ...bad, peer: 'a' })),
    ];
    const breachedPaths = findBreaches(pages, gateScope({ nodes: ['b'] })).map(
      ({ node, record }) => `${node} ${record.peer}`
    );
    expect(breachedPaths.sort()).toEqual(['a b', 'b ']);
  });

  it('has an optional tolerance for each kind of path', () => {
    const pages = [
      page('a', path({ gaps: [gap(150_000, 3_000)] }), path({ kind: 'pod-pod/denied', gaps: [gap(150_000, 3_000)] })),
    ];
    const breachedKinds = (paths: Gates['paths']): string[] =>
      findBreaches(pages, gateScope({ gates: { ...gates, paths } })).map(({ record }) => record.kind);
    expect(breachedKinds({ 'pod-pod/udp': 5_000 })).toEqual([]);
    expect(breachedKinds({ 'pod-pod/udp': null })).toEqual([]);
    expect(breachedKinds({ 'pod-pod/denied': 0 }).sort()).toEqual(['pod-pod/denied', 'pod-pod/udp']);
  });

  it('describes the evidence', () => {
    const [breach] = findBreaches(
      [page('a', path({ gaps: [gap(150_000, 9_000)], lastError: 'i/o timeout' }))],
      gateScope()
    );
    expect(breach && breachText(breach)).toBe(
      'pod-pod/udp from a to b (canal to cilium): no answer for 9000 ms (tolerance 1000 ms): i/o timeout'
    );
  });
});

describe('the reason for broken paths', () => {
  const underlay = (node: string, peer: string, more: Partial<PathRecord> = {}): NodeLedger => ({
    ...page(node, path({ kind: 'host-host', from: 'host', to: 'host', peer, ...more })),
    role: 'host',
  });
  const broken = { openMs: 190_000 };

  it('is the overlay when the nodes reach each other outside it', () => {
    const pages = [page('a', path({ ...broken, peer: 'b' })), underlay('a', 'b')];
    expect(tunnelSuspicion(pages, '8473', 200_000)).toContain('between a and b: the nodes reach each other');
    expect(tunnelSuspicion(pages, '8473', 200_000)).toContain('UDP port 8473');
  });

  it('names the node that all broken pairs have in common', () => {
    const pages = [
      page('a', path({ ...broken, peer: 'c' })),
      page('b', path({ ...broken, peer: 'c' })),
      underlay('a', 'c'),
      underlay('b', 'c'),
    ];
    expect(tunnelSuspicion(pages, '8473', 200_000)).toContain('to and from c:');
  });

  it.each([
    ['no path is broken', [page('a', path({})), underlay('a', 'b')]],
    ['the nodes do not reach each other at all', [page('a', path(broken)), underlay('a', 'b', broken)]],
    ['the path is within a node', [page('b', path(broken)), underlay('a', 'b')]],
    ['it is over Canal', [page('a', path({ ...broken, to: 'canal' })), underlay('a', 'b')]],
    ['it has been broken for a moment', [page('a', path({ openMs: 199_000 })), underlay('a', 'b')]],
    ['the report of the prober is old', [{ ...page('a', path(broken)), atMs: 100_000 }, underlay('a', 'b')]],
  ])('is not the overlay when %s', (_, pages) => {
    expect(tunnelSuspicion(pages, '8473', 200_000)).toBeUndefined();
  });
});

it('evaluates forbidden traffic while policies are enforced', () => {
  const pages = [page('a', path({ kind: 'pod-pod/denied', gaps: [gap(150_000, 9_000)] }))];
  const breachTexts = (enforced: boolean, baseGates: Gates = gates) =>
    findBreaches(pages, gateScope({ gates: withPolicies(baseGates, enforced) })).map(breachText);
  expect(breachTexts(true)).toEqual([expect.stringContaining('forbidden traffic got through for 9000 ms')]);
  expect(breachTexts(false)).toEqual([]);
  expect(breachTexts(true, { ...gates, paths: { 'pod-pod/denied': null } })).toEqual([]);
});
