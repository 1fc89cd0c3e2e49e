import { statusMarkdown, type MigrationStatus } from '../../workflows/model/status.ts';

const status: MigrationStatus = {
  cluster: 'prod',
  phase: 'migrate',
  waitingFor: 'approval of node b',
  nodes: [
    {
      name: 'a',
      state: 'migrated',
      seconds: 24,
      approval: { approver: 'ann | x', reason: '', at: '2026-01-01T00:00:00Z' },
    },
    { name: 'b', state: 'awaiting-approval' },
    { name: 'c', state: 'pending' },
  ],
  timeline: [],
  notes: ['a note'],
};

it('shows nodes, what is waited for, and the command that lets it go on', () => {
  const text = statusMarkdown(status, (node) => `approve ${node}`);
  expect(text).toContain('**prod**: migrate');
  expect(text).toContain('Waiting for approval of node b');
  expect(text).toContain('| a | migrated | ann \\| x | 24 |');
  expect(text).toContain('```\napprove b\n```');
  expect(text).not.toContain('approve c');
  expect(text).toContain('- a note');
});
