import { applyFleetMessage, type FleetMessageContext } from '../../model/fleet-decisions.ts';
import { noDecisions, applyMessage, type Decisions } from '../../model/decisions.ts';
import { messageNames, parseMessage, type MessageName } from '../../model/message-schemas.ts';
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
  control: Decisions = noDecisions()
): string {
  const parsed = parseMessage(name, raw);
  if ('problem' in parsed) return `no: ${parsed.problem}`;
  const outcome = applyMessage(
    name,
    parsed.message,
    { decisions: control, status: status(phase, more) },
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
  [
    'rollback',
    { node: 'pending' },
    'migrate',
    'no: pending is pending; only migrating, migrated, failed nodes can be rolled back',
  ],
  ['rollback', { node: 'migrated' }, 'cleanup', 'no: a single node can only be rolled back in the phase migrate'],
  ['rollback', { node: 'migrated' }, 'cutover', 'no: the cutover is in progress'],
  ['rollback', { all: true }, 'cleanup', 'rollback of all nodes requested'],
  ['rollback', { all: true }, 'rolling-back', 'no: a rollback is in progress'],
  ['abort', {}, 'migrate', 'abort requested'],
  ['abort', {}, 'cutover', 'no: the cutover is in progress'],
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
  ['approve', { malformedPayload: true }, 'not valid JSON'],
  ['skip', {}, 'node: '],
  ['rollback', {}, 'either "node" or "all"'],
  ['rollback', { node: 'a', all: true }, 'either "node" or "all"'],
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
  const samples: Partial<Record<MessageName, unknown>> = {
    ...{ approve: { node: 'a' }, reject: { node: 'a' }, skip: { node: 'a' }, retry: { node: 'a' } },
    ...{ rollback: { all: true }, setMaxConcurrency: { maxConcurrency: 1 }, forcePod: { pod: 'a/b' } },
  };
  expect(send(name, samples[name] ?? {}, 'done')).toBe('no: the migration has ended');
});

it('refuses what cannot stop the removal of Canal', () => {
  const approved = { approvals: { cleanup: decided } };
  const refusal = (name: string): string =>
    `no: the cleanup, which removes Canal, is approved: ${name} is no longer possible`;
  expect(send('rollback', { all: true }, 'cleanup', approved)).toBe(refusal('rollback'));
  expect(send('abort', {}, 'cleanup', approved)).toBe(refusal('abort'));
  expect(send('pause', {}, 'cleanup', approved)).toBe(refusal('pause'));
  expect(send('reject', { cleanup: true }, 'cleanup', approved)).toContain('no: ');
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
