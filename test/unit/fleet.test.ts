import { ApplicationFailure, CancelledFailure, TerminatedFailure } from '@temporalio/common';
import { applyFleetMessage, type FleetDecisions } from '../../model/fleet-decisions.ts';
import { parseFleet, type FleetRequest } from '../../model/fleet-input.ts';
import type { FleetMessageName } from '../../model/fleet-messages.ts';
import { describeFailure } from '../../model/fleet-outcome.ts';
import { currentWait, isOver, nextCluster, remainingSoakMs, type FleetView } from '../../model/fleet-schedule.ts';
import {
  clusterInputs,
  createFleetState,
  isFleetState,
  parseFleetState,
  type FleetState,
} from '../../model/fleet-state.ts';
import { fleetClusterStates, type FleetClusterState } from '../../model/fleet-status.ts';
import { joinShared, splitShared } from '../../model/shared-values.ts';

const at = '2026-01-01T00:00:00.000Z';
const nowMs = Date.parse(at);

function parsed(request: FleetRequest) {
  const result = parseFleet(request);
  if ('problems' in result) throw new Error(result.problems.join('; '));
  return result.input;
}

/** Returns the state of a fleet whose clusters are in these states; their names are a, b, c …; a is the canary. */
function buildState(states: readonly FleetClusterState[], more: Partial<FleetRequest> = {}): FleetState {
  const clusters = states.map((_, index) => ({ cluster: String.fromCharCode(97 + index) }));
  const created = createFleetState(parsed({ fleet: 'eu', clusters, ...more }), (name) => `cni-migration/${name}`);
  if ('problems' in created) throw new Error(created.problems.join('; '));
  for (const [index, state] of states.entries()) Object.assign(created.state.status.clusters[index] ?? {}, { state });
  return created.state;
}

describe('a message to a fleet', () => {
  const aborted: FleetDecisions = { aborted: { by: 'ann', reason: '', at } };

  function send(
    name: FleetMessageName,
    {
      states = ['pending'],
      control = {},
      isPaused = false,
    }: Partial<{
      states: readonly FleetClusterState[];
      control: FleetDecisions;
      isPaused: boolean;
    }> = {}
  ): string {
    const { status } = buildState(states);
    if (isPaused) status.paused = { by: 'bob', reason: '', at };
    const before = JSON.stringify({ control, status });
    const outcome = applyFleetMessage(name, { cluster: 'a', by: 'joe' }, { control, status }, at);
    if ('done' in outcome) return outcome.done;
    expect(JSON.stringify({ control, status })).toBe(before);
    return `no: ${outcome.problem}`;
  }

  it.each<[FleetMessageName, FleetClusterState, string | RegExp]>([
    ['approve', 'pending', 'a is approved'],
    ['approve', 'migrating', /^no: a is migrating; only pending/],
    ['approve', 'migrated', /^no: a is migrated/],
    ['approve', 'failed', /^no: a is failed/],
    ['approve', 'skipped', /^no: a is skipped/],
    ['approve', 'rolled-back', /^no: a is rolled-back/],
    ['skip', 'pending', 'a is skipped'],
    ['skip', 'migrating', 'no: a is being migrated; to end that, send abort to cni-migration/a'],
    ['skip', 'migrated', 'no: a is already migrated'],
    ['skip', 'failed', 'a is skipped'],
    ['skip', 'skipped', 'a is skipped'],
    ['skip', 'rolled-back', 'a is skipped'],
    ['retry', 'pending', /^no: a is pending; only failed, skipped, rolled-back/],
    ['retry', 'migrating', /^no: a is migrating/],
    ['retry', 'migrated', /^no: a is migrated/],
    ['retry', 'failed', 'a will be retried'],
    ['retry', 'skipped', 'a will be retried'],
    ['retry', 'rolled-back', 'a will be retried'],
    ['pause', 'pending', 'paused: no other cluster is started'],
    [
      'pause',
      'migrating',
      'paused: no other cluster is started, and the running migrations of a continue: pause each of them itself',
    ],
    ['abort', 'pending', 'abort requested: no other cluster is started; the fleet ends now'],
    [
      'abort',
      'migrating',
      'abort requested: no other cluster is started; the running migrations of a continue, and the fleet ends when they have ended: to end one earlier, abort it itself',
    ],
    ['resume', 'pending', 'no: the fleet is not paused'],
  ])('%s about a cluster that is %s is executed or refused with a reason', (name, state, answer) => {
    expect(send(name, { states: [state] })).toMatch(answer);
  });

  it.each<FleetMessageName>(['approve', 'retry', 'pause', 'resume'])('%s is refused after an abort', (name) => {
    expect(send(name, { control: aborted })).toBe('no: an abort is already requested; start the fleet again after it');
  });

  it.each<FleetMessageName>(['approve', 'retry', 'skip', 'pause', 'resume', 'abort'])(
    '%s is refused after a cancellation, in every state of the cluster',
    (name) => {
      for (const state of fleetClusterStates)
        expect(send(name, { states: [state], control: { cancelledAt: at } })).toMatch(
          /^no: the fleet was cancelled at/
        );
    }
  );

  it('keeps the first pause and the first abort', () => {
    expect(send('pause', { isPaused: true })).toBe('already paused by bob');
    expect(send('resume', { isPaused: true })).toBe('resumed');
    expect(send('abort', { control: { ...aborted } })).toBe('an abort was already requested by ann');
  });
});

describe('the schedule of a fleet', () => {
  const soakUntil = new Date(nowMs + 5_000).toISOString();

  function next(view: FleetView): string | undefined {
    return nextCluster(view, nowMs)?.cluster;
  }

  it('starts canaries one by one, and the others after the end of the soak', () => {
    const options = { approval: 'none', maxConcurrency: 2 } as const;
    expect(next(buildState(['pending', 'pending'], options))).toBe('a');
    expect(next(buildState(['migrating', 'pending'], options))).toBeUndefined();
    const soaking = buildState(['migrated', 'pending'], options);
    soaking.status.soakUntil = soakUntil;
    expect(next(soaking)).toBeUndefined();
    expect(currentWait(soaking, nowMs)).toMatchObject({ kind: 'soak', answers: [] });
    expect(remainingSoakMs(soaking, nowMs)).toBe(5_000);
    expect(nextCluster(soaking, nowMs + 5_000)?.cluster).toBe('b');
    expect(next(buildState(['migrated', 'migrating', 'pending'], options))).toBe('c');
    expect(next(buildState(['migrated', 'migrating', 'migrating', 'pending'], options))).toBeUndefined();
  });

  it('states what it waits for as a kind with its clusters', () => {
    const decision = currentWait(buildState(['migrated', 'failed', 'rolled-back', 'pending']), nowMs);
    expect(decision).toMatchObject({ kind: 'decision', clusters: ['b', 'c'], text: 'a decision about b, c' });
    const approval = currentWait(buildState(['migrated', 'pending', 'pending']), nowMs);
    expect(approval).toMatchObject({ kind: 'approval', clusters: ['b', 'c'] });
    const paused = buildState(['migrated', 'failed']);
    paused.status.paused = { by: 'ann', reason: '', at };
    expect(currentWait(paused, nowMs)).toMatchObject({ kind: 'resume', clusters: [] });
    expect(currentWait(buildState(['migrating', 'pending']), nowMs)).toBeUndefined();
  });

  it('is over when every cluster is done, or when it ends early and none is running', () => {
    expect(isOver(buildState(['migrated', 'skipped']))).toBe(true);
    expect(isOver(buildState(['migrated', 'failed']))).toBe(false);
    const states = ['pending', 'failed', 'migrated'] as const;
    for (const control of [{ cancelledAt: at }, { aborted: { by: 'ann', reason: '', at } }]) {
      expect(isOver({ ...buildState(states), control })).toBe(true);
      expect(isOver({ ...buildState(['migrating', ...states]), control })).toBe(false);
    }
  });
});

describe('the state of a fleet', () => {
  it('is the same after it was carried to the next run', () => {
    const state = buildState(['migrated', 'migrating', 'failed'], { soakSeconds: 60 });
    const [a, b, c] = state.status.clusters;
    const decision = { by: 'ann', reason: 'r', at };
    Object.assign(a ?? {}, { approval: decision, startedAt: at, endedAt: at, runId: 'r' });
    Object.assign(b ?? {}, { progress: { phase: 'migrate', migrated: 1, nodes: 2, waitingFor: 'approval' } });
    Object.assign(c ?? {}, { decision, failure: { type: 'T', message: 'm' } });
    Object.assign(state.status, { paused: decision, soakUntil: at, notes: ['n'], waitingFor: 'w' });
    const answers = [{ does: 'retry c', message: 'retry', input: { cluster: 'c' } }];
    state.status.waiting = { kind: 'decision', clusters: ['c'], since: at, reminders: 1, answers };
    state.control.aborted = decision;
    const carried: unknown = JSON.parse(JSON.stringify(state));

    expect(isFleetState(carried)).toBe(true);
    expect(parseFleetState(carried)).toEqual({ state });
  });

  it.each<[string, (state: FleetState) => object]>([
    ['another version', (state) => ({ ...state, version: 2 })],
    ['an unknown field', (state) => ({ ...state, more: 1 })],
    ['an unknown state', (state) => ({ ...state, status: { ...state.status, clusters: [{ state: 'new' }] } })],
    ['other clusters', (state) => ({ ...state, inputs: { shared: {}, own: [{ cluster: 'z' }] } })],
    ['no options', (state) => ({ ...state, options: undefined })],
  ])('with %s is refused', (_, change) => {
    expect(parseFleetState(change(buildState(['pending'])))).toHaveProperty('problems');
  });

  it('is not mistaken for an input', () => {
    for (const raw of [undefined, null, 7, 'x', [], { fleet: 'eu' }]) expect(isFleetState(raw)).toBe(false);
  });

  it('contains every resolved input, in little more than the size of one', () => {
    const names = Array.from({ length: 100 }, (_, index) => `cluster-${index}`);
    const windows = Array.from({ length: 14 }, (_, hour) => ({
      days: ['mon'],
      start: `${hour + 8}:00`.padStart(5, '0'),
      end: '23:00',
    }));
    const values = { operator: { tolerations: Array.from({ length: 200 }, (_, key) => ({ key: `key-${key}` })) } };
    const input = parsed({
      fleet: 'eu',
      defaults: { windows, values },
      clusters: names.map((cluster, index) => ({
        ...{ cluster, podCidr: `10.${index + 1}.0.0/16` },
        ...(index === 50 && { windows: [] }),
      })),
    });
    const created = createFleetState(input, (name) => name);
    if ('problems' in created) throw new Error(created.problems.join('; '));

    expect([...clusterInputs(created.state).values()]).toEqual(JSON.parse(JSON.stringify(input.clusters)));
    const size = JSON.stringify(created.state.inputs).length;
    expect(size).toBeLessThan(2 * JSON.stringify(input.clusters[0]).length + 100 * 60);
  });

  it('refuses inputs that do not fit into one state', () => {
    const padding = { text: 'x'.repeat(20_000) };
    const clusters = Array.from({ length: 60 }, (_, index) => ({
      ...{ cluster: `c${index}` },
      values: { note: { ...padding, own: `${index}` } },
    }));
    const input = parsed({ fleet: 'eu', clusters: [{ cluster: 'c' }] });
    const [first] = input.clusters;
    if (first === undefined) throw new Error('no cluster');
    const large = clusters.map(({ cluster, values }, index) => ({
      ...first,
      cluster,
      values: { note: { text: `${index}${values.note.text}` } },
    }));

    const created = createFleetState({ ...input, clusters: large }, (name) => name);

    expect(created).toMatchObject({ problems: [expect.stringMatching(/^clusters: their inputs have \d+ bytes/)] });
  });
});

it.each([
  ['nothing', []],
  ['one object', [{ a: 1, b: { c: [1] } }]],
  ['objects with other keys', [{ a: 1 }, { b: 2 }, { a: 1, b: 2 }]],
  ['values of other types', [{ a: { b: 1 } }, { a: [1] }, { a: null }, { a: { b: 1 } }]],
  ['nested differences', [{ a: { b: 1, c: { d: 1 } } }, { a: { b: 1, c: { d: 2 } } }, { a: { b: 2, c: {} } }]],
  ['empty objects', [{ a: {} }, { a: {} }, { a: { b: 1 } }]],
])('splits %s into shared and own values, and joins them again', (_, objects) => {
  expect(joinShared(splitShared(objects))).toEqual(objects);
});

it.each([
  ['a failure', new Error('child', { cause: ApplicationFailure.create({ type: 'T', message: 'm' }) }), 'T', 'm'],
  ['a cancellation', new Error('child', { cause: new CancelledFailure('c') }), 'Aborted', 'was cancelled'],
  ['a termination', new Error('child', { cause: new TerminatedFailure('t') }), 'MigrationTerminated', 'terminated'],
  ['anything else', 'text', 'unknown', 'text'],
])('describes the end of a migration with %s', (_, error, type, message) => {
  const outcome = describeFailure(error, { workflowId: 'cni-migration/a' });
  expect(outcome).toMatchObject({ state: 'failed', failure: { type } });
  expect(outcome).toMatchObject({ failure: { message: expect.stringContaining(message) as string } });
});
