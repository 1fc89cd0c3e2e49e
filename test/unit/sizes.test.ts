import fc from 'fast-check';
import { queryCompleteStatus } from '../../client/status-pages.ts';
import { withApiVersion } from '../../model/api-version.ts';
import { jsonBytes, takeWithin, utf8Bytes } from '../../model/byte-budget.ts';
import { carryState, maxCarriedBytes, parseState } from '../../model/carried-state.ts';
import { compactJson, expandJson } from '../../model/compact-json.ts';
import { planMarkdown } from '../../model/markdown/plan.ts';
import { initialState, type MigrationState } from '../../model/migration-state.ts';
import { applyMessage } from '../../model/decisions.ts';
import { copyContext } from '../../model/message-copy.ts';
import type { MessageName, Messages } from '../../model/message-schemas.ts';
import { phases } from '../../model/status.ts';
import type { Decision } from '../../model/decision.ts';
import type { MigrationStatus, NodeStatus } from '../../model/status.ts';
import { dryRunView, nodeCounts, planView, statusView } from '../../model/status-view.ts';
import type { LedgerRow } from '../../model/ledger.ts';
import { buildPlan, type DrainCounts } from '../../model/plan.ts';
import { resolveRequest } from '../../model/resolved-request.ts';
import { checkNames } from '../../model/preflight.ts';
import { buildSamples } from '../../worker/metrics.ts';

/** Temporal's limit of a run's input, a result and an answer, in bytes. */
const serverLimit = 2 * 1024 * 1024;
const nodeCount = 5_000;

const start = Date.parse('2026-03-01T08:00:00.000Z');
const at = (minutes: number): string => new Date(start + minutes * 60_123).toISOString();

/** Names as Amazon EKS gives them, of 47 characters. */
const names = Array.from({ length: nodeCount }, (_, index) => {
  const [high, middle, low] = [100 + (index >> 12), 100 + ((index >> 6) & 63), 100 + (index & 63)];
  return `ip-10-${high}-${middle}-${low}.eu-central-1.compute.internal`;
});

/** State of a migration of all nodes in the cleanup, where it is largest. */
function largeState(reasonOf: (index: number) => string): MigrationState {
  const state = initialState();
  const resolved = resolveRequest({ cluster: 'prod', approval: 'every-node', waves: { maxConcurrency: 50 } });
  if ('problems' in resolved) throw new Error(resolved.problems.join());
  state.request = resolved;
  const decisions = names.map((_, index): Decision => ({
    by: 'ann@example.org',
    reason: reasonOf(index),
    at: at(index),
  }));
  const waves = Array.from({ length: nodeCount / 50 }, (_, wave) => names.slice(wave * 50, (wave + 1) * 50));
  Object.assign(state.status, { cluster: 'prod', phase: 'cleanup', maxConcurrency: 50, waves: waves.length });
  state.status.nodes = names.map((name, index): NodeStatus => ({
    name,
    state: index % 500 === 499 ? 'failed' : 'migrated',
    wave: Math.floor(index / 50) + 1,
    approval: decisions[index]!,
    startedAt: at(index),
    endedAt: at(index + 2),
    seconds: 30 + (index % 97),
    ...(index % 500 === 499 && { failure: { type: 'GateBreached', message: 'x'.repeat(1_500) } }),
  }));
  state.status.notes = Array.from({ length: 50 }, (_, index) => `note ${index} `.repeat(20));
  state.decisions.approvals.nodes = Object.fromEntries(names.map((name, index) => [name, decisions[index]!]));
  state.doneNodes = { cutover: [...names], 'clean canal': [...names], 'clean cilium': [] };
  state.preflight = checkNames.map((check) => ({
    check,
    verdict: 'warn',
    ms: 12,
    fix: 'f'.repeat(200),
    evidence: Array.from({ length: 12 }, (_, line) => `${check}: ${names[line] ?? ''} `.repeat(3)),
  }));
  const list = (count: number): string[] =>
    Array.from({ length: count }, (_, pod) => `shop-${pod}/web-5d8f7c6b9d-x${pod}`);
  state.plan = {
    waves: waves.map((nodes) => ({ nodes, reason: 'workers, by name' })),
    migrated: [],
    notReady: [],
    source: { version: '3.31.0', podCidr: '10.42.0.0/16', vni: 1, port: 8472 },
    target: { chart: 'cilium', version: '1.20.0', podCidr: '10.200.0.0/13', tunnelPort: 8473 },
    values: resolved.releases.coexistence.values,
    changes: Array.from({ length: 60 }, (_, index) => `+ some.value.${index}: "text"`),
    objects: Array.from({ length: 60 }, (_, index) => `ConfigMap kube-system/object-${index}`),
    drains: names.map((node, index) => ({
      node,
      counts: { evicted: index % 110, recycled: 6, refused: index % 3 },
      ...{ evicted: list(index < 30 ? 20 : 0), recycled: list(index < 30 ? 6 : 0) },
      ...{ refused: list(index < 30 ? 2 : 0), dataLost: list(index < 30 ? 20 : 0), graceSeconds: 30 + (index % 5) },
    })),
    estimate: { seconds: 1, nodeSeconds: 1, basis: 'measured' },
    waived: [],
    pointOfNoReturn: 'the cleanup',
  };
  const rows = Array.from({ length: 120 }, (_, index): LedgerRow => ({
    kind: 'pod-pod/small',
    from: 'canal',
    to: 'cilium',
    ...{ sent: 10_000_000 + index, lost: index, lostMs: index, beyondBaselineMs: 3, longestMs: 900 },
    ...{ resets: 1, translated: 0, p50Ms: 1, p99Ms: 12 },
  }));
  state.ledger = { before: rows, during: rows, after: rows };
  return state;
}

const sameReason = largeState(() => 'r'.repeat(500));
const otherReasons = largeState((index) => `change ${index}: ${names[index] ?? ''} `.repeat(20).slice(0, 500));

describe('JSON in compact form', () => {
  it('expands to the same value', () => {
    const text = fc.oneof(
      fc.string(),
      fc.constantFrom(
        '$1',
        '@zz',
        "'",
        'a text that repeats',
        '2026-03-01T08:00:00.000Z',
        '2026-03-01T08:00:00Z',
        '__proto__'
      )
    );
    const value = fc.anything({
      ...{ key: text, values: [text, fc.integer(), fc.double({ noNaN: true }), fc.boolean(), fc.constant(null)] },
      ...{ maxDepth: 4, maxKeys: 6 },
    });
    fc.assert(
      fc.property(fc.array(value), fc.boolean(), (items, twice) => {
        const json: unknown = JSON.parse(JSON.stringify(twice ? [items, items] : items));

        const carried = JSON.parse(JSON.stringify(compactJson(json))) as ReturnType<typeof compactJson>;

        expect(JSON.stringify(expandJson(carried))).toBe(JSON.stringify(json));
      })
    );
  });

  it('expands repeated parts to separate objects, which can change on their own', () => {
    const decision = { by: 'ann@example.org', reason: 'a change', at: '2026-03-01T08:00:00.000Z' };

    const [first, second] = expandJson(compactJson([decision, decision])) as [object, object];

    expect(first).toEqual(decision);
    expect(second).toEqual(decision);
    expect(first).not.toBe(second);
  });
});

describe('the state of a run that continues as new', () => {
  it('stays as people can read it while it is small', () => {
    const state = initialState();

    expect(carryState(state)).toMatchObject({ state, dropped: [] });
  });

  it('carries 5,000 nodes with approvals completely', () => {
    const carried = carryState(sameReason);
    if (!('state' in carried)) throw new Error(`${carried.bytes} bytes do not fit`);

    expect(jsonBytes(sameReason)).toBeGreaterThan(2 * serverLimit);
    expect(jsonBytes(carried.state)).toBe(carried.bytes);
    expect(carried.bytes).toBeLessThan(serverLimit * 0.6);
    expect(carried.dropped).toEqual([]);
    expect(parseState(JSON.parse(JSON.stringify(carried.state)))).toEqual(JSON.parse(JSON.stringify(sameReason)));
  });

  it('drops texts, in order, but no decision and no state of a node, when every approval has another long reason', () => {
    const carried = carryState(otherReasons);
    if (!('state' in carried)) throw new Error(`${carried.bytes} bytes do not fit`);
    const next = parseState(carried.state);

    expect(carried.bytes).toBeLessThanOrEqual(maxCarriedBytes);
    expect(carried.dropped[0]).toBe('old notes');
    expect(carried.dropped.at(-1)).toBe('reasons of decisions about nodes after the first 60 characters');
    expect(next.status.notes.at(-1)).toContain('the state was reduced: old notes, ');
    const keyFacts = ({ status, decisions }: MigrationState): unknown => [
      status.nodes.map(({ name, state, wave, approval }) => [name, state, wave, approval?.by, approval?.at]),
      Object.entries(decisions.approvals.nodes).map(([name, { by, at: time }]) => [name, by, time]),
    ];
    expect(keyFacts(next)).toEqual(keyFacts(otherReasons));
    expect(next.doneNodes).toEqual(otherReasons.doneNodes);
    expect(otherReasons.status.notes).toHaveLength(50);
  });

  it('drops no more than it has to', () => {
    const { bytes } = carryState(sameReason);

    expect(carryState(sameReason, bytes - 1)).toMatchObject({ dropped: ['old notes'] });
  });

  it('is not carried at all when it does not fit', () => {
    expect(carryState(sameReason, 10_000)).toEqual({ bytes: expect.any(Number) as number });
  });
});

describe.each([
  ['the same reason', sameReason],
  ['another reason for each node', otherReasons],
])('answers about 5,000 nodes with approvals, %s', (_, state) => {
  it('lists the nodes that need attention and the latest ones, and counts all', () => {
    const status = statusView(state.status);

    expect(jsonBytes(status)).toBeLessThan(serverLimit / 2);
    expect(status.nodeCounts).toEqual({ migrated: nodeCount - 10, failed: 10 });
    expect(status.nodes.filter(({ state: nodeState }) => nodeState === 'failed')).toHaveLength(10);
    expect(status.nodes.map(({ name }) => name)).toContain(names[nodeCount - 2]);
    expect(nodeCounts(status)).toEqual(nodeCounts(state.status));
  });

  it('lists the nodes that need attention although thousands have left the cluster', () => {
    const left = list(2_000, 'left').map((name): NodeStatus => ({ name, state: 'removed' }));

    const { nodes } = statusView({ ...state.status, nodes: [...left, ...state.status.nodes] });

    expect(nodes.filter(({ state: nodeState }) => nodeState === 'failed')).toHaveLength(10);
  });

  it('returns all nodes in pages, each once and complete', () => {
    const nodes: NodeStatus[] = [];
    for (let from: number | undefined = 0; from !== undefined;) {
      const page: MigrationStatus = statusView(state.status, { from });
      expect(jsonBytes(page)).toBeLessThan(serverLimit / 2);
      nodes.push(...page.nodes);
      from = page.nextFrom;
    }

    expect(nodes).toEqual(state.status.nodes);
  });

  it('gives clients all nodes, and metrics the number of all', async () => {
    const query = (page?: Parameters<typeof statusView>[1]) =>
      Promise.resolve(withApiVersion(statusView(state.status, page)));

    const complete = await queryCompleteStatus(query);

    expect(complete).toEqual(withApiVersion(state.status));
    const samples = buildSamples(await query(), {}, start).filter(({ gauge }) => gauge === 'cni_migration_nodes');
    expect(samples.reduce((sum, { value }) => sum + value, 0)).toBe(nodeCount);
  });

  it('returns the nodes in some states', () => {
    const page = statusView(state.status, { states: ['failed'], count: 4 });

    expect(page.nodes.map(({ state: nodeState }) => nodeState)).toEqual(Array(4).fill('failed'));
    expect(page.nextFrom).toBe(4);
  });

  it('returns a plan whose first waves are complete', () => {
    if (state.plan === undefined) throw new Error('no plan');
    const plan = planView(state.plan);

    expect(jsonBytes(plan)).toBeLessThan(serverLimit / 2);
    expect(plan.drains.length + (plan.drainsLeftOut ?? 0)).toBe(nodeCount);
    expect(plan.waves).toHaveLength(nodeCount / 50);
    const cells = (text: string): string[] => text.split('\n').filter((line) => /^\| (1|20) \|/.test(line));
    expect(cells(planMarkdown(plan))).toEqual(cells(planMarkdown(state.plan)));
  });
});

it('receives the effects on the pods of 5,000 nodes mostly as numbers', () => {
  const { request, plan, source } = { ...sameReason, source: sameReason.plan?.source };
  if (request === undefined || plan === undefined || source === undefined) throw new Error('no plan');
  const otherDrains = plan.drains
    .slice(30)
    .map(({ node, counts, graceSeconds }): DrainCounts => [
      node,
      counts.evicted,
      counts.recycled,
      counts.refused,
      graceSeconds,
    ]);
  const details = { changes: [], objects: [], drains: plan.drains.slice(0, 30), otherDrains };

  const built = buildPlan(source, [], request.input, {}, details, []);

  expect(jsonBytes(details)).toBeLessThan(serverLimit / 4);
  expect(built.drains).toEqual(plan.drains);
});

it('does not change the status and the plan of a small cluster', () => {
  const status = { ...sameReason.status, nodes: sameReason.status.nodes.slice(0, 100) };
  const plan = sameReason.plan && { ...sameReason.plan, drains: sameReason.plan.drains.slice(0, 100) };

  expect(statusView(status)).toBe(status);
  expect(plan && planView(plan)).toBe(plan);
});

it.each([{ from: -1 }, { count: 1.5 }, { from: '0' }, { states: 'failed' }])('refuses the page %j', (page) => {
  expect(() => statusView(sameReason.status, page as object)).toThrow('the argument of the query status is');
});

it('keeps the steps with problems in the result of a long dry run', () => {
  const steps = names.map((name, index) => ({
    ...{ step: `migrate ${name}`, would: list(20, name), problems: index === 4_321 ? ['no consent'] : [] },
  }));

  const view = dryRunView(steps);

  expect(jsonBytes(view)).toBeLessThan(serverLimit / 2);
  expect(view.dryRunSteps.some(({ problems }) => problems.length > 0)).toBe(true);
  expect(view.dryRunSteps.length + (view.dryRunStepsLeftOut ?? 0)).toBe(nodeCount);
});

function list(count: number, name: string): string[] {
  return Array.from({ length: count }, (_, index) => `evict pod ${index} of ${name}`);
}

it('counts bytes as UTF-8 has them', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary' }), (text) => {
      expect(utf8Bytes(text)).toBe(Buffer.byteLength(text));
    })
  );
});

it('makes progress with an item above the limit', () => {
  expect(takeWithin(['a'.repeat(100), 'b'], { maxItems: 5, maxBytes: 10 })).toEqual(['a'.repeat(100)]);
  expect(takeWithin(['a', 'b', 'c'], { maxItems: 2, maxBytes: 100 })).toEqual(['a', 'b']);
});

describe('a copy of the state for the check of a message', () => {
  const nodeStates = [
    'pending',
    'awaiting-approval',
    'migrating',
    'migrated',
    'failed',
    'skipped',
    'rolled-back',
  ] as const;
  const messages: { [Name in MessageName]: Messages[Name][] } = {
    approve: [{ plan: true }, { cleanup: true }, { wave: 2 }, { wave: 9 }, ...nodeStates.map((node) => ({ node }))],
    reject: [{ plan: true }, { cleanup: true }, { wave: 2 }, ...nodeStates.map((node) => ({ node }))],
    ...{ pause: [{}], resume: [{}], abort: [{}] },
    skip: nodeStates.map((node) => ({ node })),
    retry: nodeStates.map((node) => ({ node })),
    rollback: [{ all: true }, ...nodeStates.map((node) => ({ node }))],
    setMaxConcurrency: [{ maxConcurrency: 7 }],
    forcePod: [{ pod: 'shop/web' }],
  };

  it.each(phases)('keeps the state unchanged in the phase %s', (phase) => {
    const state = initialState();
    const failure = { type: 'DrainBlocked', message: 'a pod' };
    state.status.nodes = nodeStates.map((name) => ({
      name,
      state: name,
      wave: 2,
      ...(name === 'failed' && { failure }),
    }));
    Object.assign(state.status, { phase, waves: 1, paused: { by: 'ann', reason: '', at: at(1) } });
    const before = JSON.stringify(state);
    let accepted = 0;

    for (const [name, bodies] of Object.entries(messages) as [MessageName, Messages[MessageName][]][])
      for (const body of bodies) if ('done' in applyMessage(name, body, copyContext(state), at(2))) accepted++;

    expect(JSON.stringify(state)).toBe(before);
    expect(accepted > 0).toBe(phase !== 'done' && phase !== 'rolled-back');
  });
});
