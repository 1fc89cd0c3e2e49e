import { applyMessage } from '../../model/decisions.ts';
import { copyContext } from '../../model/message-copy.ts';
import { noDecisions, type MessageContext } from '../../model/message-context.ts';
import { parseMessage, type MessageName } from '../../model/message-schemas.ts';
import { initialState } from '../../model/migration-state.ts';
import { approvedPlanText } from '../../model/plan-approval.ts';

/** Which plan a message is about. */
const digest = `0123456789ab${'c'.repeat(52)}`;
const other = `ba9876543210${'c'.repeat(52)}`;

function contextOf(planDigest: string | undefined, requiresPlanDigest = false): MessageContext {
  const { status } = initialState();
  return {
    decisions: noDecisions(),
    status: { ...status, phase: 'plan', ...(planDigest !== undefined && { planDigest }) },
    requiresPlanDigest,
  };
}

function send(name: MessageName, raw: unknown, context: MessageContext): string {
  const parsed = parseMessage(name, raw);
  if ('problem' in parsed) return `no: ${parsed.problem}`;
  const outcome = applyMessage(name, parsed.message, context, '2026-01-01T00:00:00Z');
  return 'problem' in outcome ? `no: ${outcome.problem}` : outcome.done;
}

it.each([
  ['the whole digest', digest],
  ['its first 12 digits', digest.slice(0, 12)],
])('an approval names the plan by %s', (_, plan) => {
  const context = contextOf(digest);

  expect(send('approve', { plan, by: 'ann' }, context)).toBe('the plan 0123456789ab is approved');
  expect(context.status.approvals.plan).toMatchObject({ by: 'ann', planDigest: digest, namesPlan: true });
  expect(context.status.approvals.plan && approvedPlanText(context.status.approvals.plan)).toBe('0123456789ab');
});

it('an approval without a digest records which plan was pending, and that it did not name it', () => {
  const context = contextOf(digest);

  expect(send('approve', { plan: true, by: 'ann' }, context)).toBe('the plan is approved');
  expect(context.status.approvals.plan).toMatchObject({ planDigest: digest });
  expect(context.status.approvals.plan).not.toHaveProperty('namesPlan');
  expect(context.status.approvals.plan && approvedPlanText(context.status.approvals.plan)).toContain('not named');
});

it.each(['approve', 'reject'] as const)('%s is refused for another plan, with both digests', (name) => {
  const context = contextOf(digest);
  const before = JSON.stringify(context);

  const answer = send(name, { plan: other }, context);

  expect(answer).toMatch(/^no: the pending plan is 0123456789ab…, and not ba9876543210…/);
  expect(JSON.stringify(context)).toBe(before);
});

it.each([
  ['fewer than 12 digits', digest.slice(0, 11)],
  ['more than 64 digits', `${digest}0`],
  ['upper case', digest.toUpperCase()],
  ['false', false],
])('a digest with %s is not valid', (_, plan) => {
  expect(send('approve', { plan }, contextOf(digest))).toContain('no: plan: must be true, or the digest of the plan');
});

it('a digest is refused until the plan has one', () => {
  expect(send('approve', { plan: digest }, contextOf(undefined))).toContain('no: the plan has no digest yet');
});

it('where the worker requires a digest, an approval without one is refused with the digest, and a rejection is not', () => {
  const approval = send('approve', { plan: true }, contextOf(digest, true));

  expect(approval).toContain('policy.requirePlanDigest');
  expect(approval).toContain(digest);
  expect(send('approve', { plan: true }, contextOf(undefined, true))).toContain('not computed yet');
  expect(send('approve', { plan: digest }, contextOf(digest, true))).toContain('is approved');
  expect(send('reject', { plan: true }, contextOf(digest, true))).toContain('is rejected');
});

it('a validator that refuses changes nothing of the state', () => {
  const context = contextOf(digest);

  send('approve', { plan: digest }, copyContext(context));

  expect(context.status.approvals).toEqual({});
});
