import { mayBeProposed, statesFor, transition, type NodeEvent } from '../../model/node-transitions.ts';
import type { NodeState, NodeStatus } from '../../model/status.ts';

const states: readonly NodeState[] = [
  'pending',
  'awaiting-approval',
  'migrating',
  'migrated',
  'failed',
  'skipped',
  'not-ready',
  'rolling-back',
  'rolled-back',
  'removed',
];
const decision = { by: 'ann', reason: 'night', at: '2026-01-01T00:00:00.000Z' };
const startedAt = '2026-01-01T00:00:00.000Z';
const at = '2026-01-01T00:01:30.000Z';
const failure = { type: 'VerificationFailed', message: 'no DNS' };
const events = {
  left: { kind: 'left' },
  rejoined: { kind: 'rejoined' },
  'found-migrated': { kind: 'found-migrated' },
  'found-unmigrated': { kind: 'found-unmigrated' },
  'found-not-ready': { kind: 'found-not-ready' },
  'found-ready': { kind: 'found-ready' },
  lost: { kind: 'lost' },
  proposed: { kind: 'proposed', wave: 3 },
  withdrawn: { kind: 'withdrawn' },
  started: { kind: 'started', at, approval: decision },
  'not-started': { kind: 'not-started' },
  migrated: { kind: 'migrated', at },
  failed: { kind: 'failed', at, failure },
  'rollback-started': { kind: 'rollback-started', keepFailure: false },
  'rolled-back': { kind: 'rolled-back', at },
  skipped: { kind: 'skipped', decision },
  retried: { kind: 'retried', decision },
} as const satisfies { [Kind in NodeEvent['kind']]: NodeEvent & { kind: Kind } };

/** The next state by event, in the order of {@link states}; `-` where the event changes nothing. */
const expected: Readonly<Record<NodeEvent['kind'], string>> = {
  left: 'removed removed removed removed removed removed removed removed removed -',
  rejoined: '- - - - - - - - - pending',
  'found-migrated': 'migrated migrated - - migrated migrated migrated - - -',
  'found-unmigrated': '- - - pending - - - - - -',
  'found-not-ready': 'not-ready not-ready - - - - - - - -',
  'found-ready': '- - - - - - pending - - -',
  lost: '- - - - not-ready - - - - -',
  proposed: 'awaiting-approval awaiting-approval - - - - - - - -',
  withdrawn: '- pending - - - - - - - -',
  started: 'migrating migrating - - - - - - - -',
  'not-started': '- - pending - - - - - - -',
  migrated: '- - migrated - - - - - - -',
  failed: '- - failed - - - - failed - -',
  'rollback-started':
    'rolling-back rolling-back rolling-back rolling-back rolling-back rolling-back rolling-back - rolling-back -',
  'rolled-back': '- - rolled-back - - - - rolled-back - -',
  skipped: 'skipped skipped - - skipped skipped skipped - skipped -',
  retried: '- - - - pending pending pending - pending -',
};

const cases = Object.values(events).flatMap((event) =>
  states.map((state, index) => ({ state, event, next: expected[event.kind].split(' ')[index] ?? '' }))
);

it.each(cases)('$event.kind of a $state node: $next', ({ state, event, next }) => {
  const node: NodeStatus = { name: 'a', state, startedAt, wave: 2 };

  const changed = transition(node, event);

  expect({ changed, state: node.state }).toEqual(
    next === '-' ? { changed: false, state } : { changed: true, state: next }
  );
});

it.each(cases.filter(({ next }) => next === '-'))(
  'leaves a $state node as it is, in all fields, when $event.kind does not apply',
  ({ state, event }) => {
    const node: NodeStatus = { name: 'a', state, failure, wave: 2, startedAt, waitingFor: 'a reboot of a' };
    const before = { ...node };

    transition(node, event);

    expect(node).toEqual(before);
  }
);

describe('the fields of a node follow its state', () => {
  const node = (state: NodeState, more: Partial<NodeStatus> = {}): NodeStatus => ({ name: 'a', state, ...more });
  const after = (before: NodeStatus, event: NodeEvent): NodeStatus => {
    expect(transition(before, event)).toBe(true);
    return before;
  };
  const blockers = [{ pod: 'shop/web-1', kind: 'DisruptionBudget' as const, reason: 'no' }];

  it('keeps the wave, the approval and the times of a migration', () => {
    const proposed = after(node('pending'), events.proposed);
    expect(proposed).toEqual(node('awaiting-approval', { wave: 3 }));

    const started = after({ ...proposed, seconds: 7, endedAt: at }, { ...events.started, at: startedAt });
    expect(started).toEqual(node('migrating', { wave: 3, startedAt, approval: decision }));

    const migrated = after({ ...started, blockers, waitingFor: 'a reboot of a' }, events.migrated);
    expect(migrated).toEqual(node('migrated', { wave: 3, startedAt, approval: decision, endedAt: at, seconds: 90 }));
  });

  it('keeps an earlier approval when a migration starts without one', () => {
    const started = after(node('pending', { approval: decision }), { kind: 'started', at });

    expect(started.approval).toEqual(decision);
  });

  it('shows the failure until an operator decides', () => {
    const failed = after(node('migrating', { startedAt, blockers }), events.failed);
    expect(failed).toEqual(node('failed', { startedAt, endedAt: at, failure }));

    for (const event of [events.skipped, events.retried]) {
      const decided = after({ ...failed }, event);
      expect(decided).not.toHaveProperty('failure');
      expect(decided.decision).toEqual(decision);
    }
  });

  it('drops the failure of a node that an operator rolls back, and keeps that of an automatic rollback', () => {
    for (const keepFailure of [true, false]) {
      const failed = node('failed', { failure, seconds: 7 });

      after(failed, { kind: 'rollback-started', keepFailure });
      const kept = failed.failure;
      after(failed, events['rolled-back']);

      expect(kept).toEqual(keepFailure ? failure : undefined);
      expect(failed.failure).toEqual(keepFailure ? failure : undefined);
      expect(failed).not.toHaveProperty('seconds');
    }
  });

  it('has no failure after a cancelled migration, nor when its workflow succeeded in a later attempt', () => {
    expect(after(node('migrating', { failure }), events['rolled-back'])).not.toHaveProperty('failure');
    expect(after(node('failed', { failure }), events['found-migrated'])).not.toHaveProperty('failure');
  });
});

it('proposes only nodes that wait for their migration', () => {
  const proposed = states.filter((state) => mayBeProposed({ name: 'a', state }));

  expect(proposed).toEqual(['pending', 'awaiting-approval']);
});

it('names the states in which an event applies', () => {
  expect(statesFor('retried')).toEqual(['failed', 'skipped', 'not-ready', 'rolled-back']);
});
