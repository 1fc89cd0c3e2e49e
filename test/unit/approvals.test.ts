import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { parseAllDocuments } from 'yaml';
import { createRequestActivities } from '../../activities/plan/resolve-request.ts';
import { approvalObjects } from '../../deploy/approvals/generate.ts';
import { projectDir } from '../../lab/paths.ts';
import { claimUnverified } from '../../model/approval-claims.ts';
import { approvalCommands, buildApprovalSpec } from '../../model/approval-commands.ts';
import { decidedBy } from '../../model/decision.ts';
import { applyMessage } from '../../model/decisions.ts';
import { noDecisions } from '../../model/message-context.ts';
import {
  findApproval,
  findApprovedDigest,
  parseApproval,
  type ApprovalRules,
  type ApprovalSpec,
  type StoredApproval,
} from '../../model/migration-approval.ts';
import { statusMarkdown } from '../../model/markdown/status.ts';
import { initialState } from '../../model/migration-state.ts';
import type { MigrationStatus } from '../../model/status.ts';

const run = { workflowId: 'cni-migration/prod', firstRunId: 'run-1' };
const rules: ApprovalRules = {
  run,
  planDigest: 'abc',
  nowMs: Date.parse('2026-05-01T12:00:00Z'),
  verifiedSinceMs: Date.parse('2026-05-01T10:00:00Z'),
};

function approval(spec: Partial<ApprovalSpec> = {}, createdAt = '2026-05-01T11:00:00Z', name = 'one'): StoredApproval {
  return { name, createdAt, spec: { ...run, planDigest: 'abc', subject: 'plan', user: 'alice', ...spec } };
}

it('finds an approval of the step, the run and the plan', () => {
  const wave = approval({ subject: 'wave/2', nodes: ['a', 'b'] });

  expect(findApproval([approval()], 'plan', rules)).toMatchObject({ name: 'one' });
  expect(findApproval([wave], 'node/b', rules)).toMatchObject({ spec: { user: 'alice' } });
  expect(findApproval([approval({ subject: 'node/a' })], 'node/a', rules)).toHaveProperty('spec');
  expect(findApproval([approval({ notAfter: '2026-05-01T12:00:00Z' })], 'plan', rules)).toHaveProperty('spec');
});

it.each<[string, Partial<ApprovalSpec>, string | undefined]>([
  ['another workflow', { workflowId: 'cni-migration/dev' }, 'another workflow'],
  ['another run', { firstRunId: 'run-0' }, 'another run'],
  ['another plan', { planDigest: '' }, 'another plan'],
  ['a time that is over', { notAfter: '2026-05-01T11:59:59Z' }, 'it ended at 2026-05-01T11:59:59Z'],
  ['a time that is none', { notAfter: 'tomorrow' }, 'it ended at tomorrow'],
  ['another step', { subject: 'cutover' }, undefined],
  ['a node', { subject: 'node/plan' }, undefined],
])('does not count one with %s', (_, spec, reason) => {
  const result = findApproval([approval(spec)], 'plan', rules);

  expect(result).toEqual({ reasons: reason === undefined ? [] : [expect.stringContaining(reason)] });
});

it('does not count one that the policy did not verify, or of a wave without the node', () => {
  for (const createdAt of ['2026-05-01T09:59:59Z', '2026-05-01T10:00:00Z', 'never'])
    expect(findApproval([approval({}, createdAt)], 'plan', rules)).toHaveProperty('reasons', [
      expect.stringContaining('not younger than the policy'),
    ]);
  expect(findApproval([approval({ subject: 'wave/2', nodes: ['a'] })], 'node/b', rules)).toEqual({ reasons: [] });
  // Only a wave covers nodes.
  expect(findApproval([approval({ subject: 'plan', nodes: ['b'] })], 'node/b', rules)).toEqual({ reasons: [] });
});

it('takes the digest of the newest approval of the plan that counts', () => {
  const approvals = [
    approval({ planDigest: 'old' }, '2026-05-01T10:30:00Z'),
    approval({ planDigest: 'new' }, '2026-05-01T11:30:00Z'),
    approval({ planDigest: 'other', firstRunId: 'run-0' }, '2026-05-01T11:40:00Z'),
    approval({ planDigest: 'node', subject: 'node/a' }, '2026-05-01T11:50:00Z'),
  ];

  expect(findApprovedDigest(approvals, rules)).toBe('new');
  expect(findApprovedDigest(approvals.slice(2), rules)).toBe('');
});

it('ignores objects that are no complete approval', () => {
  const metadata = { name: 'one', creationTimestamp: new Date('2026-05-01T11:00:00Z') };

  expect(parseApproval({ metadata, spec: approval().spec })).toMatchObject({ createdAt: '2026-05-01T11:00:00.000Z' });
  for (const spec of [undefined, {}, { ...approval().spec, user: '' }, { ...approval().spec, nodes: 'a' }])
    expect(parseApproval({ metadata, spec })).toBeUndefined();
});

const waiting: MigrationStatus = {
  ...initialState().status,
  cluster: 'prod',
  phase: 'migrate',
  approvalTarget: run,
  nodes: ['a', 'b'].map((name) => ({ name, state: 'awaiting-approval', wave: 1 })),
  waiting: {
    ...{ kind: 'approval', key: 'wave 1', since: '', reminders: 0 },
    answers: [
      { does: 'approve wave 1', message: 'approve', input: { wave: 1 } },
      { does: 'abort', message: 'abort', input: {} },
    ],
  },
};

it('shows how to create what is awaited, with the nodes of the wave', () => {
  const target = { ...run, planDigest: '' };

  const [command = '', ...more] = approvalCommands(waiting);

  expect(more).toEqual([]);
  const json = /^printf %s '(.*)' \| kubectl create -f -$/.exec(command)?.[1] ?? '';
  expect(JSON.parse(json)).toMatchObject({
    kind: 'MigrationApproval',
    spec: { ...target, subject: 'wave/1', nodes: ['a', 'b'], user: 'YOUR USER' },
  });
  expect(statusMarkdown(waiting, { workflowId: run.workflowId, namespace: 'default' })).toContain(command);
  expect(buildApprovalSpec({ wave: 3 }, target, waiting, 'alice')).toHaveProperty('problem');
  const { approvalTarget, ...signalStatus } = waiting;
  expect(approvalTarget).toBeDefined();
  expect(approvalCommands(signalStatus)).toEqual([]);
});

it('only claims an approval where it is an object of the cluster, and refuses the same messages', () => {
  const decisions = noDecisions();
  const status: MigrationStatus = { ...initialState().status, phase: 'plan' };
  const context = { decisions, status, isAuthenticated: true };

  const outcome = applyMessage('approve', { plan: true, by: 'ann' }, context, '2026-05-01T12:00:00Z');

  expect(outcome).toHaveProperty('done', expect.stringContaining('noted: the plan is approved once'));
  expect(status.approvals).toEqual({});
  expect(decisions.claims).toEqual({ plan: { by: 'ann', reason: '', at: '2026-05-01T12:00:00Z' } });
  expect(applyMessage('approve', { cleanup: true }, context, '')).toHaveProperty('problem');
  expect(Object.keys(decisions.claims ?? {})).toEqual(['plan']);
});

it('turns approvals that came before the request was resolved into claims', () => {
  const given = { by: 'ann', reason: '', at: '' };
  const verified = { ...given, principal: 'alice', object: 'one' };
  const decisions = { ...noDecisions(), approvals: { nodes: { a: given, b: verified }, waves: { '2': given } } };

  claimUnverified(decisions);

  expect(decisions).toMatchObject({ approvals: { nodes: { b: verified }, waves: {} } });
  expect(decisions).toHaveProperty('claims', { 'node/a': given, 'wave/2': given });
  expect([decidedBy(given), decidedBy(verified)]).toEqual(['ann', 'alice (claimed by ann)']);
});

it.each([
  [{}, []],
  [{ approval: 'every-wave' }, []],
  [{ approval: 'none', dryRun: true }, []],
  [{ approval: 'none' }, ['approval: must be']],
  [{ approval: 'canary-only' }, ['approval: must be']],
  [{ cleanup: 'automatic' }, ['cleanup: must be approve']],
])('requires an approval of every step where approvals are authenticated: %j', async (fields, problems) => {
  const { resolveRequest } = createRequestActivities(undefined, undefined, (cluster) =>
    cluster === 'prod' ? 'authenticated' : 'signal'
  );
  const resolved = resolveRequest({ request: { cluster: 'prod', ...fields } });

  if (problems.length === 0) await expect(resolved).resolves.toHaveProperty('approvals', 'authenticated');
  for (const problem of problems) await expect(resolved).rejects.toThrow(problem);
  expect(await resolveRequest({ request: { cluster: 'dev', ...fields } })).not.toHaveProperty('approvals');
});

it('has current objects in deploy/: "npm run docs" generates them', async () => {
  const text = await readFile(path.join(projectDir, 'deploy', 'approvals', 'approvals.yaml'), 'utf8');
  const objects = (yaml: string): unknown[] => parseAllDocuments(yaml).map((document) => document.toJS() as unknown);

  expect(objects(text)).toEqual(objects(approvalObjects()));
});
