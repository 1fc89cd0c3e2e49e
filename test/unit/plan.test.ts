import { parseInput, type MigrationInput } from '../../model/input.ts';
import { estimate, buildPlan, valueChanges, type NodeDrain } from '../../model/plan.ts';
import { planMarkdown } from '../../model/markdown/plan.ts';
import { unknownValues } from '../../activities/helm/render.ts';
import { meshPeers } from '../../activities/preflight/host-facts.ts';

function input(request: object = {}): MigrationInput {
  const parsed = parseInput({ cluster: 'prod', ...request });
  if ('problems' in parsed) throw new Error(parsed.problems.join());
  return parsed.input;
}

const drain = (node: string, graceSeconds: number): NodeDrain => ({
  node,
  counts: { evicted: 4, recycled: 2, refused: 1 },
  evicted: ['shop/web-1'],
  recycled: [],
  refused: [`shop/cache-${node}: its emptyDir data (tmp) would be lost`],
  dataLost: [],
  ...(node === 'a' && { jobs: ['shop/report-1'] }),
  graceSeconds,
});
const node = (name: string) => ({
  name,
  controlPlane: false,
  ready: true,
  hostsWorker: false,
  flipped: false,
  cordonedByUs: false,
  podsOnSource: 3,
});
const canal = { version: 'v3.28.5', podCidr: '10.244.0.0/16', vni: 1, port: 8472 };
const details = {
  changes: ['+ tunnelPort: 8473'],
  objects: ['Service cni-live-migration/prober'],
  drains: [drain('a', 30), drain('b', 900)],
};

it('describes the steps, the pods and the point of no return in Markdown', () => {
  const waived = { check: 'mtu' as const, verdict: 'block' as const, evidence: [], ms: 1, waived: 'known' };
  const plan = buildPlan(canal, [node('a'), node('b')], input({ backup: 'etcd-snapshot-7' }), {}, details, [waived]);
  const text = planMarkdown(plan);
  for (const part of [
    'Canal v3.28.5 (10.244.0.0/16, VXLAN on UDP 8472) → Cilium 1.20.2 (10.245.0.0/16, VXLAN on UDP 8473)',
    'Point of no return: the cleanup',
    'Backup: etcd-snapshot-7.',
    '| 1 | a | canary | 4 | 2 | 1 |',
    '- shop/cache-b: its emptyDir data (tmp) would be lost',
    'Pods of Jobs that are interrupted:\n\n- shop/report-1',
    '- mtu: known',
    '- Service cni-live-migration/prober',
    '```diff\n+ tunnelPort: 8473\n```',
  ]) {
    expect(text).toContain(part);
  }
});

it('estimates from grace periods first, and from measurements when there are some', () => {
  const waves = [
    { nodes: ['a'], reason: '' },
    { nodes: ['b'], reason: '' },
  ];
  const first = estimate(waves, details.drains, input(), []);
  expect(first.seconds).toBeGreaterThan(900 + 30);
  const later = estimate(waves.slice(1), details.drains, input(), [{ seconds: 60 }]);
  expect(later).toMatchObject({ nodeSeconds: 60, basis: 'mean of 1 node migrated in this run' });
  expect(later.seconds).toBeLessThan(first.seconds - 900);
});

it('lists the differences of values by path', () => {
  const from = { a: { b: 1, c: [1] }, gone: 'x', same: true };
  expect(valueChanges(from, { a: { b: 2, c: [1] }, same: true, more: { x: null } })).toEqual([
    '~ a.b: 1 → 2',
    '- gone: "x"',
    '+ more.x: null',
  ]);
  expect(valueChanges(from, from)).toEqual([]);
});

it('finds values that the chart does not know', () => {
  const chart = { operator: { replicas: 2, extra: {} }, tunnelPort: 0, image: { tag: '' } };
  const given = { operator: { replicas: 1, extra: { any: 1 }, replica: 3 }, vxlanPort: 1, image: { tag: 'x' } };
  expect(unknownValues(given, chart)).toEqual(['operator.replica', 'vxlanPort']);
});

it('shows no old or new value that may be a secret', () => {
  const changes = valueChanges(
    { hubble: { tls: { server: { key: 'LS0tLS1CRUdJTi' } } }, ipam: { password: 'hunter2' }, mtu: 1_400 },
    { hubble: { tls: { server: { key: 'other' } } }, proxy: ['http://ann:hunter2@proxy'], mtu: 1_450 }
  );

  expect(changes).toEqual([
    '~ hubble.tls.server.key: (not shown: it may be a secret) → (not shown: it may be a secret)',
    '- ipam.password: (not shown: it may be a secret)',
    '~ mtu: 1400 → 1450',
    '+ proxy: (not shown: it may be a secret)',
  ]);
});

it('sends packets between all nodes of a small cluster, and between a connected sample of a large one', () => {
  expect(meshPeers(['a', 'b', 'c'], 1)).toEqual(['a', 'c']);
  const many = Array.from({ length: 500 }, (_, index) => index);
  const visited = new Set<number>([0]);
  for (let frontier = [0]; frontier.length > 0;) {
    frontier = frontier
      .flatMap((index) => meshPeers(many, index))
      .filter((peer) => !visited.has(peer) && visited.add(peer));
  }
  expect(visited.size).toBe(500);
  expect(Math.max(...many.map((index) => meshPeers(many, index).length))).toBe(6);
});
