import type { KubernetesObject } from '@kubernetes/client-node';
import { differingObjects, manifestsDigest } from '../../activities/helm/manifest-digest.ts';
import { contentDigest } from '../../model/content-digest.ts';
import { parseInput, type MigrationInput } from '../../model/input.ts';
import { computePlanDigest } from '../../model/plan-digest.ts';
import { releaseSteps } from '../../model/planned-release.ts';
import { resolveRequest, type Releases } from '../../model/resolved-request.ts';
import { plannedRelease } from '../support/fake-cluster.ts';

/** The digest of a plan: what it covers, and what it does not depend on. */
const request = { cluster: 'prod', values: { a: 1, b: { c: 2, d: 3 } } };

function resolve(more: object = {}): { input: MigrationInput; releases: Releases } {
  const resolved = resolveRequest({ ...request, ...more });
  if ('problems' in resolved) throw new Error(resolved.problems.join());
  return resolved;
}

const { input, releases } = resolve();
const plan = {
  waves: [
    { nodes: ['a'], reason: 'canary' },
    { nodes: ['b', 'c'], reason: 'workers' },
  ],
  source: { version: 'v3.28.5', podCidr: '10.244.0.0/16', vni: 1, port: 8472 },
  release: plannedRelease,
  images: ['quay.io/cilium/cilium:v1.20.2'],
};
const digest = computePlanDigest(plan, input, releases);

it('is a SHA-256, and does not depend on the order of keys or on the reason of a wave', () => {
  const reordered = resolve({ values: { b: { d: 3, c: 2 }, a: 1 } });
  const waves = plan.waves.map(({ nodes }) => ({ nodes, reason: 'other' }));

  expect(digest).toMatch(/^[0-9a-f]{64}$/);
  expect(computePlanDigest({ ...plan, waves }, reordered.input, reordered.releases)).toBe(digest);
});

const wave = (...nodes: string[]) => ({ nodes, reason: '' });
const { manifests } = plannedRelease;
const otherValues = (step: keyof Releases): Releases => ({
  ...releases,
  [step]: { ...releases[step], values: { ...releases[step].values, a: 2 } },
});

interface Change {
  plan?: Partial<typeof plan>;
  input?: MigrationInput;
  releases?: Releases;
}

it.each<[what: string, change: Change]>([
  ['the chart', { plan: { release: { ...plannedRelease, chartDigest: `sha256:${'e'.repeat(64)}` } } }],
  ...releaseSteps.map((step): [string, Change] => {
    const changed = { ...manifests, [step]: 'e'.repeat(64) };
    return [`the manifests of ${step}`, { plan: { release: { ...plannedRelease, manifests: changed } } }];
  }),
  ...releaseSteps.map((step): [string, Change] => [`the values of ${step}`, { releases: otherValues(step) }]),
  ['an image', { plan: { images: ['quay.io/cilium/cilium:v1.20.3'] } }],
  ['the order of nodes', { plan: { waves: [wave('a'), wave('c', 'b')] } }],
  ['the waves', { plan: { waves: [wave('a', 'b', 'c')] } }],
  ['Canal', { plan: { source: { ...plan.source, port: 8473 } } }],
  ['the input', { input: resolve({ onFailure: 'rollback' }).input }],
])('changes with %s', (_, change) => {
  const changed = computePlanDigest({ ...plan, ...change.plan }, change.input ?? input, change.releases ?? releases);

  expect(changed).toMatch(/^[0-9a-f]{64}$/);
  expect(changed).not.toBe(digest);
});

it('does not exist for a plan of an earlier build', () => {
  expect(computePlanDigest({ waves: plan.waves, source: plan.source }, input, releases)).toBeUndefined();
});

it('treats an absent property like one that is undefined, and a key "__proto__" as content', () => {
  expect(contentDigest({ a: 1, b: undefined })).toBe(contentDigest({ a: 1 }));
  expect(contentDigest(JSON.parse('{"__proto__": 1}'))).not.toBe(contentDigest({}));
  expect(contentDigest(['a', 'b'])).not.toBe(contentDigest(['b', 'a']));
});

describe('the digest of manifests', () => {
  const secret = (data: object): KubernetesObject & object => ({
    ...{ apiVersion: 'v1', kind: 'Secret', metadata: { name: 'hubble-server-certs', namespace: 'kube-system' } },
    ...data,
  });
  const config = (value: string): KubernetesObject & object => ({
    ...{ apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'cilium-config', namespace: 'kube-system' } },
    ...{ data: { key: value } },
  });
  const rendered = [secret({ data: { 'tls.key': 'random' } }), config('1')];

  it.each([
    ['the order of objects', [...rendered].reverse()],
    ['a generated value of a Secret', [secret({ data: { 'tls.key': 'other' } }), config('1')]],
  ])('does not depend on %s', (_, objects) => {
    expect(manifestsDigest(objects)).toBe(manifestsDigest(rendered));
    expect(differingObjects(objects, rendered)).toEqual([]);
  });

  it.each([
    ['a ConfigMap', [rendered[0] ?? {}, config('2')], 'ConfigMap kube-system/cilium-config'],
    [
      'a key of a Secret',
      [secret({ data: { other: 'random' } }), config('1')],
      'Secret kube-system/hubble-server-certs',
    ],
    [
      'the type of a Secret',
      [secret({ type: 'x', data: { 'tls.key': '' } }), config('1')],
      'Secret kube-system/hubble',
    ],
    ['an object that is gone', [config('1')], 'Secret kube-system/hubble-server-certs'],
  ])('changes with %s', (_, objects, name) => {
    expect(manifestsDigest(objects)).not.toBe(manifestsDigest(rendered));
    expect(differingObjects(objects, rendered)).toEqual([expect.stringContaining(name)]);
  });

  it('covers a Secret of another API group completely', () => {
    const external = (value: string) => [{ ...secret({ data: { key: value } }), apiVersion: 'other.example/v1' }];

    expect(manifestsDigest(external('1'))).not.toBe(manifestsDigest(external('2')));
  });
});

it('parses the digest of a chart', () => {
  const chartDigest = `sha256:${'0'.repeat(64)}`;

  expect(parseInput({ ...request, chartDigest })).toMatchObject({ input: { chartDigest } });
  for (const wrong of ['0'.repeat(64), `sha256:${'A'.repeat(64)}`, 'sha256:0'])
    expect(parseInput({ ...request, chartDigest: wrong })).toMatchObject({
      problems: [expect.stringContaining('chartDigest: must be sha256:')],
    });
});
