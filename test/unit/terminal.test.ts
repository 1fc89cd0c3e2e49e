import { Command } from 'commander';
import { completionScript, shells } from '../../client/cli/completion.ts';
import { shellCommand } from '../../model/shell.ts';
import { changes, preflightText, detectScreen, forTerminal, statusText, wrap } from '../../client/cli/text.ts';
import { run } from '../../lab/process.ts';
import type { MigrationStatus } from '../../model/status.ts';

const status: MigrationStatus = {
  cluster: 'prod',
  phase: 'migrate',
  waitingFor: 'approval of node a-node-with-a-name-that-is-much-too-long-for-any-terminal.example.com',
  waiting: { kind: 'approval', key: 'x', since: '2026-01-01T00:00:00.000Z', reminders: 0, answers: [] },
  maxConcurrency: 1,
  waves: 1,
  nodes: [
    { name: 'a', state: 'migrated', seconds: 40 },
    { name: 'a-node-with-a-name-that-is-much-too-long-for-any-terminal.example.com', state: 'awaiting-approval' },
    { name: 'c', state: 'failed', failure: { type: 'DrainBlocked', message: 'PodDisruptionBudget shop/web allows 0' } },
  ],
  approvals: {},
  timeline: [],
  notes: ['a note of some length that does not fit into a narrow line'],
};

it.each([30, 40, 80, 200])('fits a status into %i columns, but for words that are longer', (columns) => {
  const text = statusText(status, { columns, color: false });
  // eslint-disable-next-line no-control-regex -- that is what is looked for
  expect(text).not.toMatch(/\u001b/);
  for (const line of text.split('\n')) {
    const longest = Math.max(
      ...line
        .trim()
        .split(' ')
        .map((word) => word.length)
    );
    if (longest < columns / 2) expect(line.length).toBeLessThanOrEqual(columns);
  }
  expect(text).toContain('PodDisruptionBudget');
});

it('shows the end of a run instead of the wait that its status still contains', () => {
  const commands = [{ does: 'approve it', command: 'cni-migrate approve' }];
  const ending = { status: 'TIMED_OUT', failure: 'too late' };

  const text = statusText({ ...status, phase: 'plan' }, { columns: 80, color: false }, { commands, ending });

  expect(text).toContain('The run has ended: timed out: too late');
  expect(text).not.toMatch(/Waiting for|To approve/);
});

it('has colours only for a terminal that wants them', () => {
  const tty = { isTTY: true, columns: 100 };
  expect(detectScreen(tty, false, {})).toEqual({ columns: 100, color: true });
  expect(detectScreen(tty, true, {}).color).toBe(false);
  expect(detectScreen(tty, false, { NO_COLOR: '1' }).color).toBe(false);
  expect(detectScreen(tty, false, { TERM: 'dumb' }).color).toBe(false);
  expect(detectScreen({}, false, { COLUMNS: '44' })).toEqual({ columns: 44, color: false });
  expect(statusText(status, { columns: 80, color: true })).toContain('\u001b[');
});

it('breaks lines between words, and keeps the words', () => {
  expect(wrap('one two three', 8)).toEqual(['one two', 'three']);
  expect(wrap('a-very-long-word x', 5, '  ')).toEqual(['  a-very-long-word', '  x']);
  expect(wrap('', 5)).toEqual(['']);
});

it('lists the changes between two reads', () => {
  expect(changes(undefined, status)).toEqual([
    'migrate',
    '  a: migrated in 40 s',
    `  ${status.nodes[1]?.name}: awaiting-approval`,
    '  c: failed',
    `  waiting for ${status.waitingFor}`,
  ]);
  expect(changes(status, status)).toEqual([]);
});

it('shows what blocks before what passes', () => {
  const text = preflightText(
    [
      { check: 'kernel', verdict: 'pass', evidence: ['6.1'], ms: 1 },
      { check: 'autoscaler', verdict: 'block', evidence: ['it runs'], fix: 'scale it to 0', ms: 1 },
      { check: 'kube-proxy', verdict: 'block', evidence: ['x/y'], waived: 'known', ms: 1 },
    ],
    { columns: 60, color: false }
  );
  expect(text.split('\n')).toEqual([
    'block autoscaler',
    '  it runs',
    '  → scale it to 0',
    'waived kube-proxy',
    '  x/y',
    '  → waived: known',
    '1 of 3 checks passed',
  ]);
});

it('quotes words that a shell would interpret', async () => {
  const words = ['plain', 'two words', "it's", '$(reboot)', '`id`', 'a;b', '{"k": "v"}', '', '*', '\\'];
  expect(await run('sh', ['-c', `printf '%s\\n' ${shellCommand(words)}`])).toBe(`${words.join('\n')}\n`);
});

it.each(shells)('generates a completion that %s can read', async (shell) => {
  const program = new Command('cni-migrate');
  program.command('status').description("it's where it is").option('--watch');
  program.command('start');
  const script = completionScript(program, shell);
  if (shell !== 'bash') return expect(script).toContain('status');
  const bashCommand = `${script}\nCOMP_WORDS=(cni-migrate sta); COMP_CWORD=1; _cni_migrate; echo "\${COMPREPLY[@]}"`;
  expect(await run('bash', ['-c', bashCommand])).toBe('status start\n');
  const more = `${script}\nCOMP_WORDS=(cni-migrate status --w); COMP_CWORD=2; _cni_migrate; echo "\${COMPREPLY[@]}"`;
  expect(await run('bash', ['-c', more])).toBe('--watch\n');
});

it('keeps its own colours, and no other control characters', () => {
  const painted = statusText(status, { columns: 80, color: true });

  expect(forTerminal(painted)).toBe(painted);
  expect(forTerminal('a\n\tb\u001b[2J\u001b]0;c\u0007\r\u009b\u202e')).toBe(
    'a\n\tb\ufffd[2J\ufffd]0;c\ufffd\ufffd\ufffd\ufffd'
  );
});
