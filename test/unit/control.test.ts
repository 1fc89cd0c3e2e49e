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
  const outcome = applyMessage(name, parsed.message, { control, status: status(phase, more) }, '2026-01-01T00:00:00Z');
  return 'problem' in outcome ? `no: ${outcome.problem}` : outcome.done;
}

const decided = { by: 'ann', reason: '', at: '' };

it.each<[MessageName, unknown, Phase, string]>([
  ['approve', { node: 'pending' }, 'migrate', 'pending is approved'],
  ['approve', { node: 'nobody' }, 'migrate', 'no: the cluster has no node nobody'],
  ['approve', { node: 'removed' }, 'migrate', 'no: the cluster has no node removed'],
  ['approve', { node: 'migrated' }, 'migrate', 'no: migrated is migrated already'],
  ['approve', { wave: 2 }, 'migrate', 'wave 2 is approved'],
  ['approve', { wave: 1 }, 'migrate', 'no: wave 1 has begun already'],
  ['approve', { plan: true }, 'plan', 'the plan is approved'],
  ['approve', { plan: true }, 'migrate', 'no: the plan does not wait'],
  ['approve', { cleanup: true }, 'cleanup', 'the cleanup is approved'],
  ['approve', { cleanup: true }, 'migrate', 'no: the cleanup does not wait'],
  ['reject', { node: 'pending' }, 'migrate', 'pending is skipped'],
  ['reject', { wave: 2 }, 'migrate', 'awaiting-approval skipped'],
  ['reject', { wave: 3 }, 'migrate', 'no: wave 3 does not wait'],
  ['reject', { plan: true }, 'plan', 'the plan is rejected'],
  ['reject', { plan: true }, 'migrate', 'no: the plan does not wait'],
  ['reject', { cleanup: true }, 'cleanup', 'the cleanup is rejected'],
  ['pause', {}, 'migrate', 'paused'],
  ['pause', undefined, 'migrate', 'paused'],
  ['resume', {}, 'migrate', 'no: it is not paused'],
  ['skip', { node: 'failed' }, 'migrate', 'failed is skipped'],
  ['skip', { node: 'migrating' }, 'migrate', 'no: migrating is migrating; roll it back instead'],
  ['skip', { node: 'nobody' }, 'migrate', 'no: the cluster has no node nobody'],
  ['retry', { node: 'failed' }, 'migrate', 'failed is taken up again'],
  ['retry', { node: 'rolled-back' }, 'migrate', 'rolled-back is taken up again'],
  ['retry', { node: 'migrated' }, 'migrate', 'no: migrated is migrated; there is nothing to retry'],
  ['rollback', { node: 'migrated' }, 'migrate', 'migrated goes back to Canal'],
  ['rollback', { node: 'migrating' }, 'migrate', 'migrating goes back to Canal'],
  ['rollback', { node: 'pending' }, 'migrate', 'no: pending is pending'],
  ['rollback', { node: 'migrated' }, 'cleanup', 'no: a single node'],
  ['rollback', { node: 'migrated' }, 'cutover', 'no: the cutover is under way'],
  ['rollback', { all: true }, 'cleanup', 'everything is rolled back'],
  ['abort', {}, 'migrate', 'the migration ends'],
  ['abort', {}, 'cutover', 'no: the cutover is under way'],
  ['abort', {}, 'rolling-back', 'no: it is rolled back already'],
  ['setMaxConcurrency', { maxConcurrency: 4 }, 'migrate', 'waves of up to 4'],
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

it.each(messageNames)('%s comes too late when it is over', (name) => {
  const samples: Partial<Record<MessageName, unknown>> = {
    ...{ approve: { node: 'a' }, reject: { node: 'a' }, skip: { node: 'a' }, retry: { node: 'a' } },
    ...{ rollback: { all: true }, setMaxConcurrency: { maxConcurrency: 1 }, forcePod: { pod: 'a/b' } },
  };
  expect(send(name, samples[name] ?? {}, 'done')).toBe('no: the migration is over');
});

it('refuses every rollback once Canal is being removed', () => {
  const approved = { approvals: { cleanup: decided } };
  expect(send('rollback', { all: true }, 'cleanup', approved)).toBe('no: Canal is being removed: there is no way back');
  expect(send('abort', {}, 'cleanup', approved)).toBe('no: Canal is being removed: there is no way back');
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

it('lets a node with a failure be set aside', () => {
  const nodes: MigrationStatus['nodes'] = [{ name: 'x', state: 'failed', failure: { type: 'T', message: 'm' } }];
  expect(send('skip', { node: 'x' }, 'migrate', { nodes })).toBe('x is skipped');
  expect(nodes[0]).toMatchObject({ state: 'skipped' });
  expect(nodes[0]).not.toHaveProperty('failure');
});
