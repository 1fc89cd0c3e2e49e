import type { MigrationStatus, NodeStatus } from '../../model/status.ts';
import { statusMarkdown } from '../../model/markdown/status.ts';
import { fleetMarkdown } from '../../model/markdown/fleet-status.ts';
import { planMarkdown } from '../../model/markdown/plan.ts';
import { preflightMarkdown } from '../../model/markdown/preflight.ts';
import { cell } from '../../model/markdown/escape.ts';
import type { Plan } from '../../model/plan.ts';
import { updateCommand } from '../../model/shell.ts';

const status: MigrationStatus = {
  cluster: 'prod',
  phase: 'migrate',
  waitingFor: 'approval of node b',
  waiting: {
    kind: 'approval',
    key: 'x',
    since: '2026-01-02T00:00:00Z',
    reminders: 0,
    answers: [{ does: 'approve node b', message: 'approve', input: { node: 'b' } }],
  },
  maxConcurrency: 1,
  waves: 1,
  nodes: [
    { name: 'a', state: 'migrated', seconds: 24, approval: { by: 'ann | x', reason: '', at: '2026-01-01T00:00:00Z' } },
    { name: 'b', state: 'awaiting-approval' },
    { name: 'c', state: 'failed', failure: { type: 'DrainBlocked', message: 'PodDisruptionBudget shop/web' } },
  ],
  approvals: {},
  timeline: [],
  notes: ['a note'],
};

const workflow = { workflowId: 'cni-migration/prod', namespace: 'default' };

it('shows nodes, the wait, and the command that ends it', () => {
  const text = statusMarkdown(status, workflow);
  expect(text).toContain('**prod**: migrate');
  expect(text).toContain('Waiting for approval of node b (since 2026-01-02T00:00:00Z)');
  expect(text).toContain('| a | migrated | ann \\| x | 24 |');
  expect(text).toContain('| c | failed |  |  | PodDisruptionBudget shop/web |');
  expect(text).toContain(
    `To approve node b:\n\n\`\`\`\ntemporal workflow update execute --workflow-id 'cni-migration/prod' --name approve --input '{"node":"b","by":"YOUR NAME"}'\n\`\`\``
  );
  expect(text).toContain('- a note');
});

it('says who paused it', () => {
  const paused = { by: 'ann', reason: 'an incident', at: '' };
  expect(statusMarkdown({ ...status, paused }, workflow)).toContain('Paused by ann: an incident');
});

it('counts the nodes of a large cluster and shows those that need a look', () => {
  const nodes: NodeStatus[] = Array.from({ length: 5_000 }, (_, i) => ({ name: `n${i}`, state: 'migrated' }));
  nodes.push({ name: 'stuck', state: 'failed' });
  const text = statusMarkdown({ ...status, nodes }, workflow);
  expect(text).toContain('5000 migrated, 1 failed');
  expect(text).toContain('| stuck |');
  expect(text).not.toContain('| n17 |');
  expect(text.length).toBeLessThan(2_000);
});

it('names the namespace in its commands, unless it is the default one', () => {
  const text = statusMarkdown(status, { workflowId: 'id', namespace: 'team a' });

  expect(text).toContain(`temporal workflow update execute --namespace 'team a' --workflow-id 'id' --name approve`);
});

it('gives a command that a shell takes as it is', () => {
  const command = updateCommand(workflow, { does: '', message: 'skip', input: { node: "it's" } });
  expect(command).toContain(`--input '{"node":"it'\\''s","by":"YOUR NAME"}'`);
});

describe('a text with Markdown, HTML and control characters', () => {
  const hostile = 'a\n\n# b <img src=x> ![c](http://d) \\| e\u001b[2J\u0007\u202e';
  const decision = { by: hostile, reason: hostile, at: '' };
  const answers = [{ does: hostile, message: 'resume', input: {} }];
  const wait = { kind: 'resume' as const, key: '', since: '', reminders: 0, answers };
  const common = { paused: decision, waitingFor: hostile, waiting: wait, notes: [hostile] };
  const plan = { notReady: [hostile], migrated: [], backup: hostile, waves: [], drains: [], objects: [], changes: [] };
  const versions = {
    ...{ source: { version: hostile }, target: { chart: hostile }, estimate: { basis: hostile } },
    ...{ pointOfNoReturn: hostile, waived: [{ check: 'kernel', reason: hostile }] },
  };

  it.each([
    ['a status', statusMarkdown({ ...status, ...common }, workflow)],
    [
      'a fleet',
      fleetMarkdown({
        ...{ fleet: 'f', clusters: [], ...common },
        waiting: { ...common.waiting, kind: 'approval', clusters: [] },
      }),
    ],
    ['a plan', planMarkdown({ ...plan, ...versions } as unknown as Plan)],
    [
      'checks',
      preflightMarkdown([
        { check: 'kernel', verdict: 'warn', evidence: [hostile], fix: hostile, ms: 1 },
        { check: 'mtu', verdict: 'block', evidence: [hostile], waived: hostile, ms: 1 },
      ]),
    ],
  ])('changes nothing around it in %s', (_, text) => {
    expect(text).toContain('a # b &lt;img');
    expect(text).not.toMatch(/^# b|<img|(?<!\\)\[c/m);
    // eslint-disable-next-line no-control-regex -- these are what is replaced
    expect(text).not.toMatch(/[\u0007\u001b\u202e]/);
  });

  it('cannot end a cell with a backslash before the separator', () => {
    expect(cell('a\\|b')).toBe('a\\\\\\|b');
  });
});
