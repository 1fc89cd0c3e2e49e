import type { RepeatedStep } from '../../model/attempts.ts';
import { applyFleetMessage, type FleetMessageContext } from '../../model/fleet-decisions.ts';
import { applyMessage } from '../../model/decisions.ts';
import { forgetRollback, noDecisions, type Decisions } from '../../model/message-context.ts';
import { malformedPayload } from '../../model/malformed-payload.ts';
import { messageNames, parseMessage, type MessageName } from '../../model/message-schemas.ts';
import type { RemainingNode } from '../../model/remaining-nodes.ts';
import type { MigrationStatus, NodeState, Phase } from '../../model/status.ts';

function status(phase: Phase, more: Partial<MigrationStatus> = {}): MigrationStatus {
  const states: NodeState[] = [
    ...([
      'pending',
      'awaiting-approval',
      'migrating',
      'migrated',
      'failed',
      'skipped',
      'rolled-back',
      'removed',
    ] as const),
  ];
  const nodes = states.map((state) => ({ name: state, state, ...(state === 'awaiting-approval' && { wave: 2 }) }));
  return {
    cluster: 'prod',
    phase,
    maxConcurrency: 1,
    waves: 1,
    nodes,
    approvals: {},
    timeline: [],
    notes: [],
    ...more,
  };
}

/**
 * Sends a message.
 * @returns the answer, or `no:` and the reason.
 */
function send(
  name: MessageName,
  raw: unknown,
  phase: Phase = 'migrate',
  more: Partial<MigrationStatus> = {},
  control: Decisions = noDecisions(),
  hasWindows = false
): string {
  const parsed = parseMessage(name, raw);
  if ('problem' in parsed) return `no: ${parsed.problem}`;
  const outcome = applyMessage(
    name,
    parsed.message,
    { decisions: control, status: status(phase, more), hasWindows },
    '2026-01-01T00:00:00Z'
  );
  return 'problem' in outcome ? `no: ${outcome.problem}` : outcome.done;
}

const decided = { by: 'ann', reason: '', at: '' };

it.each<[MessageName, unknown, Phase, string]>([
  ['approve', { node: 'pending' }, 'migrate', 'pending is approved'],
  ['approve', { node: 'nobody' }, 'migrate', 'no: the cluster has no node nobody'],
  ['approve', { node: 'removed' }, 'migrate', 'no: the cluster has no node removed'],
  ['approve', { node: 'migrated' }, 'migrate', 'no: migrated is already migrated'],
  ['approve', { wave: 2 }, 'migrate', 'wave 2 is approved'],
  ['approve', { wave: 1 }, 'migrate', 'no: wave 1 has already started'],
  ['approve', { plan: true }, 'plan', 'the plan is approved'],
  [
    'approve',
    { plan: true },
    'migrate',
    'no: the plan is not awaiting approval; the migration is in the phase migrate',
  ],
  ['approve', { cleanup: true }, 'cleanup', 'the cleanup is approved'],
  ['approve', { cleanup: true }, 'migrate', 'no: the cleanup is not awaiting approval'],
  ['reject', { node: 'pending' }, 'migrate', 'pending is skipped'],
  ['reject', { wave: 2 }, 'migrate', 'skipped: awaiting-approval'],
  ['reject', { wave: 3 }, 'migrate', 'no: wave 3 is not awaiting approval'],
  ['reject', { plan: true }, 'plan', 'the plan is rejected; the migration will end'],
  ['reject', { plan: true }, 'migrate', 'no: the plan is not awaiting approval; the migration is in the phase migrate'],
  ['reject', { cleanup: true }, 'cleanup', 'the cleanup is rejected; the migration will end'],
  ['pause', {}, 'migrate', 'paused'],
  ['pause', undefined, 'migrate', 'paused'],
  ['resume', {}, 'migrate', 'no: the migration is not paused'],
  ['skip', { node: 'failed' }, 'migrate', 'failed is skipped'],
  ['skip', { node: 'migrating' }, 'migrate', 'no: migrating is migrating; roll it back instead'],
  ['skip', { node: 'nobody' }, 'migrate', 'no: the cluster has no node nobody'],
  ['retry', { node: 'failed' }, 'migrate', 'failed will be retried'],
  ['retry', { node: 'rolled-back' }, 'migrate', 'rolled-back will be retried'],
  [
    'retry',
    { node: 'migrated' },
    'migrate',
    'no: migrated is migrated; only failed, skipped, not-ready, rolled-back nodes can be retried',
  ],
  ['rollback', { node: 'migrated' }, 'migrate', 'rollback of migrated requested'],
  ['rollback', { node: 'migrating' }, 'migrate', 'rollback of migrating requested'],
  ['rollback', { node: 'skipped' }, 'migrate', 'rollback of skipped requested'],
  [
    'rollback',
    { node: 'pending' },
    'migrate',
    'no: pending is pending; only migrating, migrated, failed, skipped nodes can be rolled back',
  ],
  ['rollback', { node: 'migrated' }, 'cleanup', 'no: a single node can only be rolled back in the phase migrate'],
  ['rollback', { node: 'migrated' }, 'cutover', 'no: a single node can only be rolled back in the phase migrate'],
  ['rollback', { all: true }, 'cutover', 'rollback of all nodes requested'],
  ['rollback', { all: true }, 'cleanup', 'rollback of all nodes requested'],
  ['rollback', { all: true }, 'rolling-back', 'no: a rollback is in progress'],
  ['abort', {}, 'migrate', 'abort requested'],
  ['abort', {}, 'cutover', 'abort requested'],
  ['abort', {}, 'cleanup', 'abort requested'],
  ['pause', {}, 'cutover', 'paused'],
  ['approve', { node: 'pending' }, 'cutover', 'no: every node is migrated; the migration is in the phase cutover'],
  ['approve', { wave: 2 }, 'cleanup', 'no: every node is migrated; the migration is in the phase cleanup'],
  ['setMaxConcurrency', { maxConcurrency: 4 }, 'cutover', 'at most 4 nodes per wave, from the next wave of agents on'],
  ['setMaxConcurrency', { maxConcurrency: 4 }, 'cleanup', 'no: no wave is left in the phase cleanup'],
  ['abort', {}, 'rolling-back', 'no: a rollback is in progress'],
  ['retry', { node: 'rolled-back' }, 'rolling-back', 'no: a rollback is in progress'],
  ['pause', {}, 'rolling-back', 'no: a rollback is in progress'],
  ['forcePod', { pod: 'shop/web-1' }, 'rolling-back', 'pod shop/web-1 may be deleted'],
  ['setMaxConcurrency', { maxConcurrency: 4 }, 'migrate', 'at most 4 nodes per wave'],
  ['forcePod', { pod: 'shop/web-1' }, 'migrate', 'pod shop/web-1 may be deleted'],
])('%s %j in the phase %s: %s', (name, raw, phase, expected) => {
  expect(send(name, raw, phase)).toMatch(new RegExp(`^${expected}`));
});

it.each<[MessageName, unknown, string]>([
  ['approve', null, 'exactly one of'],
  ['approve', 'a', 'expected object'],
  ['approve', { by: 'ann' }, 'exactly one of'],
  ['approve', { node: 'a', plan: true }, 'exactly one of'],
  ['approve', { node: 7 }, 'node: '],
  ['approve', { nod: 'a' }, 'nod'],
  ['approve', { wave: 0 }, 'wave: '],
  ['approve', malformedPayload('is not valid JSON'), 'not valid JSON'],
  ['skip', {}, 'must name either "node" or "step"'],
  ['skip', { node: 'a', step: 'b' }, 'must name either "node" or "step"'],
  ['skip', { all: true }, 'Unrecognized key: "all"'],
  ['retry', {}, 'must name exactly one of "node", "step" and "all": true'],
  ['retry', { node: 'a', all: true }, 'must name exactly one of "node", "step" and "all": true'],
  ['rollback', {}, 'either "node" or "all"'],
  ['rollback', { node: 'a', all: true }, 'either "node" or "all"'],
  ['rollback', { all: true, outsideWindows: 'yes' }, 'outsideWindows: '],
  ['setMaxConcurrency', { maxConcurrency: 0 }, 'maxConcurrency: '],
  ['setMaxConcurrency', { maxConcurrency: '4' }, 'maxConcurrency: '],
  ['setMaxConcurrency', { concurrency: 4 }, 'Unrecognized key: "concurrency"'],
  ['approve', { node: 'a', approver: 'ann' }, 'Unrecognized key: "approver"'],
  ['forcePod', { pod: 'web' }, 'namespace/name'],
  ['forcePod', { pod: '../../x' }, 'namespace/name'],
  ['pause', { reason: 'x'.repeat(501) }, 'reason: '],
])('refuses %s %j: %s', (name, raw, message) => {
  expect(send(name, raw)).toMatch(/^no: /);
  expect(send(name, raw)).toContain(message);
});

it.each(messageNames)('refuses %s when the migration has ended', (name) => {
  expect(send(name, samples[name], 'done')).toBe('no: the migration has ended');
});

/** One valid message of each name. */
const samples: Record<MessageName, unknown> = {
  ...{ approve: { cleanup: true }, reject: { cleanup: true }, pause: {}, resume: {}, abort: {} },
  ...{ skip: { node: 'failed' }, retry: { node: 'failed' }, rollback: { all: true } },
  ...{ setMaxConcurrency: { maxConcurrency: 1 }, forcePod: { pod: 'shop/web-1' } },
};
const refused = (names: readonly MessageName[], answers: Record<string, string>): void => {
  for (const name of messageNames)
    expect([name, answers[name]?.startsWith('no: ')]).toEqual([name, names.includes(name)]);
};
const answersTo = (...more: [Phase, Partial<MigrationStatus>?, (() => Decisions)?]): Record<string, string> => {
  const [phase, changes, decisions = noDecisions] = more;
  return Object.fromEntries(messageNames.map((name) => [name, send(name, samples[name], phase, changes, decisions())]));
};

describe('after the point of no return', () => {
  const passed = { pointOfNoReturn: '2026-01-01T00:00:00Z', paused: decided };

  it.each(['preflight', 'cleanup'] as const)('only resume and forcePod are accepted, in the phase %s', (phase) => {
    const answers = answersTo(phase, passed);

    refused(['approve', 'reject', 'pause', 'skip', 'retry', 'rollback', 'abort', 'setMaxConcurrency'], answers);
    expect(answers['rollback']).toBe(
      'no: the removal of Canal began at 2026-01-01T00:00:00Z, the point of no return: rollback is no longer possible'
    );
  });

  it('is not reached by the approval of the cleanup', () => {
    const approvals = { cleanup: decided };

    expect(send('rollback', { all: true }, 'cleanup', { approvals })).toBe('rollback of all nodes requested');
    expect(send('reject', { cleanup: true }, 'cleanup', { approvals })).toContain('no: ');
  });
});

describe('a node on which something remains to be done', () => {
  const entry = (node: string): RemainingNode => ({ node, since: decided.at, work: ['clean-canal'] });
  const passed = { pointOfNoReturn: '2026-01-01T00:00:00Z' };

  it.each<[Phase, Partial<MigrationStatus>]>([
    ['cutover', {}],
    ['cleanup', {}],
    ['cleanup', passed],
    ['rolling-back', {}],
  ])('can be skipped in the phase %s', (phase, more) => {
    const remaining = [entry('migrated'), entry('other')];

    const answer = send('skip', { node: 'migrated', by: 'ann' }, phase, { ...more, remaining });

    expect(answer).toBe('migrated is skipped; when it is back, this remains to be done: remove what is left of Canal');
    expect(remaining.map(({ skipped }) => skipped?.by)).toEqual(['ann', undefined]);
  });

  it('is the only one that can be skipped once nodes are not migrated any more', () => {
    const remaining = [entry('other')];

    for (const [phase, more] of [['rolling-back', {}] as const, ['cleanup', passed] as const])
      expect(send('skip', { node: 'migrated' }, phase, { ...more, remaining })).toBe(
        'no: the migration does not wait for migrated'
      );
    expect(send('skip', { node: 'migrated' }, 'cleanup', { remaining })).toContain('no: migrated is migrated');
  });

  it('keeps the first decision, and is not skipped when too many are', () => {
    const skipped = { by: 'bob', reason: '', at: decided.at };
    const remaining = Array.from({ length: 100 }, (_, index) => ({ ...entry(`n${index}`), skipped }));

    expect(send('skip', { node: 'n1', by: 'ann' }, 'cleanup', { ...passed, remaining })).toContain('n1 is skipped');
    const more = { ...passed, remaining: [...remaining, entry('last')] };
    expect(send('skip', { node: 'last' }, 'cleanup', more)).toContain('no: at most 100 nodes may be skipped here');
    expect(remaining[1]?.skipped.by).toBe('bob');
  });
});

it('accepts only an abort in a dry run', () => {
  const answers = answersTo('plan', { dryRun: true, paused: decided });

  refused(
    messageNames.filter((name) => name !== 'abort'),
    answers
  );
});

it.each<[string, Partial<Decisions>, MessageName[]]>([
  ['an abort', { aborted: decided }, ['abort', 'forcePod', 'rollback']],
  ['a rejection', { rejected: decided }, ['abort', 'forcePod', 'rollback']],
  ['a rollback of all nodes', { rollbackAll: decided }, ['forcePod', 'rollback']],
  ['the end of the run', { refusal: 'the run is cancelled' }, ['forcePod']],
])('refuses after %s what it prevents', (_, decisions, accepted) => {
  const answers = answersTo('cleanup', { paused: decided }, () => ({ ...noDecisions(), ...decisions }));

  refused(
    messageNames.filter((name) => !accepted.includes(name)),
    answers
  );
});

it('lets an interruption replace an earlier, weaker one', () => {
  const control = noDecisions();
  send('reject', { cleanup: true }, 'cleanup', {}, control);
  send('rollback', { all: true, by: 'bob' }, 'cleanup', {}, control);

  expect(control).toMatchObject({ rejected: { by: 'unnamed' }, rollbackAll: { by: 'bob' } });
});

it.each<[MessageName, string]>([
  ['retry', 'no: a rollback of failed is requested; retry it afterwards'],
  ['skip', 'no: a rollback of failed is requested, which sidelines it'],
  ['reject', 'no: a rollback of failed is requested, which sidelines it'],
])('refuses to %s a node whose rollback is requested', (name, answer) => {
  const control = noDecisions();
  send('rollback', { node: 'failed' }, 'migrate', {}, control);

  expect(send(name, { node: 'failed' }, 'migrate', {}, control)).toBe(answer);
  expect(control.rollbacks).toEqual(['failed']);
});

it('approves the nodes that a wave shows, and a wave in advance by its number', () => {
  const control = noDecisions();

  expect(send('approve', { wave: 2 }, 'migrate', {}, control)).toBe('wave 2 is approved: awaiting-approval');
  expect(send('approve', { wave: 3 }, 'migrate', {}, control)).toBe('wave 3 is approved');

  expect(Object.keys(control.approvals.nodes)).toEqual(['awaiting-approval']);
  expect(Object.keys(control.approvals.waves)).toEqual(['3']);
});

it('keeps the first decision', () => {
  const control = noDecisions();
  send('approve', { node: 'pending', by: 'ann', reason: 'window 7' }, 'migrate', {}, control);
  send('approve', { node: 'pending', by: 'bob' }, 'migrate', {}, control);
  const at = '2026-01-01T00:00:00Z';
  expect(control.approvals.nodes).toEqual({ pending: { by: 'ann', reason: 'window 7', at } });
});

it('keeps an early approval of an unknown node', () => {
  const control = noDecisions();
  expect(send('approve', { node: 'a' }, 'preflight', { nodes: [] }, control)).toBe('a is approved');
  expect(control.approvals.nodes).toHaveProperty('a');
});

it.each<[MessageName, unknown]>([
  ['skip', { node: 'a' }],
  ['retry', { node: 'a' }],
  ['rollback', { node: 'a' }],
])('does not claim that a node is missing before the nodes are read: %s', (name, raw) => {
  expect(send(name, raw, 'migrate', { nodes: [] })).toMatch(/^no: the nodes have not been read yet/);
});

describe('a rollback and maintenance windows', () => {
  const waiting = (kind: 'window' | 'decision'): Partial<MigrationStatus> => ({
    waiting: { kind, key: '', since: '', reminders: 0, answers: [] },
  });
  const rollingBack = (): Decisions => ({ ...noDecisions(), rollbackAll: decided });

  it.each([
    [{ all: true }, true, true],
    [{ all: true, outsideWindows: true }, true, false],
    [{ all: true }, false, false],
    [{ node: 'migrated' }, true, true],
    [{ node: 'migrated', outsideWindows: true }, true, false],
    [{ node: 'failed' }, true, false],
    [{ node: 'migrating' }, true, false],
  ])('%j, with windows: %s, waits for one: %s', (message, hasWindows, waits) => {
    const answer = send('rollback', message, 'migrate', {}, noDecisions(), hasWindows);

    expect(answer).toContain('requested');
    expect(answer.includes('it starts in a maintenance window: add "outsideWindows": true')).toBe(waits);
  });

  it('keeps who requested the rollback when another message makes it start at once', () => {
    const control = noDecisions();
    send('rollback', { all: true, by: 'ann' }, 'migrate', {}, control);
    const first = control.rollbackAll;

    send('rollback', { all: true, by: 'bob', outsideWindows: true }, 'migrate', {}, control);

    expect(control.rollbackAll).toMatchObject({ by: 'ann', outsideWindows: true });
    expect(first).not.toHaveProperty('outsideWindows');
  });

  it('remembers which nodes are rolled back at once', () => {
    const control = noDecisions();
    send('rollback', { node: 'migrated' }, 'migrate', {}, control);
    for (let times = 0; times < 2; times++)
      send('rollback', { node: 'migrated', outsideWindows: true }, 'migrate', {}, control);

    expect(control).toMatchObject({ rollbacks: ['migrated'], outsideWindows: ['migrated'] });
    forgetRollback(control, 'migrated');
    expect(control).toEqual(noDecisions());
  });

  it('accepts an abort, or a start at once, while a rollback of all nodes waits for a window', () => {
    const control = rollingBack();
    const now = { all: true, outsideWindows: true };

    expect(send('rollback', now, 'rolling-back', waiting('window'), control)).toBe(
      'the rollback of all nodes continues outside maintenance windows'
    );
    expect(control.rollbackAll).toMatchObject({ ...decided, outsideWindows: true });
    expect(send('abort', { by: 'bob' }, 'rolling-back', waiting('window'), control)).toMatch(/^abort requested/);
    expect(control).toMatchObject({ aborted: { by: 'bob' } });
    expect(control).not.toHaveProperty('rollbackAll');
    expect(send('rollback', now, 'rolling-back', {}, control)).toMatch(/^no: an abort is already requested/);
  });

  it('names what can be sent instead of a refused message', () => {
    const reason = 'no: a rollback is in progress';
    const pause = send('pause', {}, 'rolling-back', waiting('window'), rollingBack());
    const abort = send('abort', {}, 'rolling-back', waiting('decision'), rollingBack(), true);

    expect(pause).toBe(
      `${reason}, and waits for a maintenance window; send rollback {"all": true, "outsideWindows": true} to continue it ` +
        'at once, or abort to end it'
    );
    expect(abort).toBe(`${reason}; it can be aborted while it waits for a maintenance window`);
  });
});

it('refuses an abort after a rollback of all nodes was requested', () => {
  const control = noDecisions();
  send('rollback', { all: true }, 'migrate', {}, control);
  expect(send('abort', {}, 'migrate', {}, control)).toBe('no: a rollback of all nodes is already requested');
  expect(control.aborted).toBeUndefined();
});

it.each<[MessageName, unknown]>([
  ['approve', { node: 'pending' }],
  ['retry', { node: 'failed' }],
  ['rollback', { node: 'migrated' }],
])('refuses what an abort or a rollback of all nodes prevents: %s %j', (name, raw) => {
  const control = noDecisions();
  send('abort', {}, 'migrate', {}, control);

  expect(send(name, raw, 'migrate', {}, control)).toMatch(/^no: an abort is already requested/);
  expect(send('rollback', { all: true }, 'migrate', {}, control)).toBe('rollback of all nodes requested');
  expect(send(name, raw, 'migrate', {}, control)).toBe('no: a rollback of all nodes is already requested');
  expect(control.rollbacks).toEqual([]);
});

it('refuses to start a cluster of a fleet after an abort', () => {
  const clusters = (['pending', 'failed'] as const).map((state) => ({
    ...{ cluster: state, state, canary: false, workflowId: state },
  }));
  const context: FleetMessageContext = { control: {}, status: { fleet: 'eu', clusters, notes: [] } };
  applyFleetMessage('abort', {}, context, '');

  const refused = { problem: 'an abort is already requested; start the fleet again after it' };
  expect(applyFleetMessage('approve', { cluster: 'pending' }, context, '')).toEqual(refused);
  expect(applyFleetMessage('retry', { cluster: 'failed' }, context, '')).toEqual(refused);
  expect(applyFleetMessage('skip', { cluster: 'failed' }, context, '')).toEqual({ done: 'failed is skipped' });
});

it('skips a node that has failed', () => {
  const nodes: MigrationStatus['nodes'] = [{ name: 'x', state: 'failed', failure: { type: 'T', message: 'm' } }];
  expect(send('skip', { node: 'x' }, 'migrate', { nodes })).toBe('x is skipped');
  expect(nodes[0]).toMatchObject({ state: 'skipped' });
  expect(nodes[0]).not.toHaveProperty('failure');
});

describe('an answer to the question about a step', () => {
  const repeated: RepeatedStep = {
    ...{ step: 'remove Canal', state: 'stopped', attempts: 40, failure: { type: 'CleanupIncomplete', message: 'why' } },
    ...{ since: '2026-01-01T00:00:00.000Z', failedAt: '2026-01-01T00:10:00.000Z' },
  };
  const asking = (...steps: Partial<RepeatedStep>[]): Partial<MigrationStatus> => ({
    repeatedSteps: steps.map((step) => ({ ...repeated, ...step })),
  });
  const retry = { step: 'remove Canal' };

  it.each<[Phase, Partial<MigrationStatus>, Partial<Decisions>]>([
    ['coexistence', {}, {}],
    ['cleanup', { pointOfNoReturn: '2026-01-01T00:00:00Z' }, {}],
    ['rolling-back', {}, {}],
    ['migrate', {}, { aborted: decided }],
    ['cutover', { paused: decided }, { rollbackAll: decided }],
    ['migrate', {}, { refusal: 'the run is cancelled' }],
  ])('is accepted in the phase %s, with %j and %j', (phase, more, decisions) => {
    const status = { ...more, ...asking({}) };

    const answer = send('retry', retry, phase, status, { ...noDecisions(), ...decisions });

    expect(answer).toBe('repeated: "remove Canal"');
  });

  it.each<[string, MessageName, unknown, Partial<MigrationStatus>, string]>([
    ['no step asks', 'retry', retry, {}, 'no step waits for an answer, and not "remove Canal"'],
    ['no step asks', 'retry', { all: true }, {}, 'no step waits for an answer'],
    [
      'another step asks',
      'retry',
      retry,
      asking({ step: 'lock cluster' }),
      'only "lock cluster" waits for an answer, and not "remove Canal"',
    ],
    [
      'it is still repeated',
      'retry',
      retry,
      asking({ state: 'repeating', attempts: 7, asksAt: '2026-01-01T00:20:00.000Z' }),
      'the step "remove Canal" is repeated automatically: attempt 7 failed at 2026-01-01T00:10:00.000Z; it becomes a question after 2026-01-01T00:20:00.000Z',
    ],
    [
      'the migration needs it',
      'skip',
      retry,
      asking({}),
      'the step "remove Canal" cannot be skipped: the migration needs it',
    ],
    [
      'its attempts continue',
      'skip',
      retry,
      asking({ state: 'overdue', mayBeSkipped: true }),
      'the step "remove Canal" cannot be skipped: it is still repeated',
    ],
  ])('is refused when %s: %s', (_, name, message, status, reason) => {
    expect(send(name, message, 'cutover', status)).toContain(`no: ${reason}`);
  });

  it('answers all questions at once, also those of nodes', () => {
    const answers = [{ does: 'try again', message: 'retry', input: { node: 'a' } }];
    const nodes: MigrationStatus['nodes'] = [
      { name: 'a', state: 'migrating', answers, repeatedSteps: [repeated] },
      { name: 'b', state: 'migrating' },
    ];
    const status = { ...asking({}, { step: 'other', state: 'repeating' }), nodes };

    expect(send('retry', { all: true }, 'migrate', status)).toBe('repeated: "remove Canal", a');
    expect(nodes[0]).not.toHaveProperty('answers');
  });

  it('is accepted once for a node, whose state stays', () => {
    const answers = [{ does: 'try again', message: 'retry', input: { node: 'a' } }];
    const nodes: MigrationStatus['nodes'] = [{ name: 'a', state: 'migrating', answers, repeatedSteps: [repeated] }];

    expect(send('retry', { node: 'a' }, 'migrate', { nodes })).toBe('the step of a is repeated');
    expect(nodes[0]).toMatchObject({ state: 'migrating', repeatedSteps: [{ state: 'repeating' }] });
    expect(send('retry', { node: 'a' }, 'migrate', { nodes })).toMatch(/^no: a is migrating/);
  });
});

it('approves a node whose name is that of a property of every object', () => {
  const control = noDecisions();
  const nodes = [{ name: 'constructor', state: 'awaiting-approval' as const, wave: 2 }];

  expect(send('approve', { node: 'constructor' }, 'migrate', { nodes }, control)).toBe('constructor is approved');

  expect(Object.keys(control.approvals.nodes)).toEqual(['constructor']);
});
