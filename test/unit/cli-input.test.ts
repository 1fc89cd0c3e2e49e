import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { Readable } from 'node:stream';
import fc from 'fast-check';
import { CliError, exitCodes } from '../../client/cli/exit-codes.ts';
import { parseInputText, readClusterInput, readInput } from '../../client/cli/input.ts';

/** Returns the error of a text that is refused. */
function refusal(text: string): string {
  try {
    parseInputText(text, 'in.yaml');
  } catch (error) {
    if (error instanceof CliError && error.code === exitCodes.usage) return error.message;
    throw error;
  }
  return 'accepted';
}

it.each([
  ['a comment', '# yaml-language-server: $schema=x\ncluster: a\n', { cluster: 'a' }],
  ['the start of a document', '---\ncluster: a\n...\n', { cluster: 'a' }],
  ['a byte order mark and CRLF', '\ufeffa: 1\r\nb: 2\r\n', { a: 1, b: 2 }],
  ['words that are booleans in YAML 1.1', 'a: yes\nb: no\nc: on\nd: y', { a: 'yes', b: 'no', c: 'on', d: 'y' }],
  ['booleans and null', 'a: true\nb: False\nc: null\nd: ~\ne:', { a: true, b: false, c: null, d: null, e: null }],
  ['numbers', 'a: 1e3\nb: 0x10\nc: 0o14\nd: 012\ne: 1.5', { a: 1_000, b: 16, c: 12, d: 12, e: 1.5 }],
  [
    'what only looks like a number',
    'a: 1_000\nb: 1.20.2\nc: 10.245.0.0/16',
    { a: '1_000', b: '1.20.2', c: '10.245.0.0/16' },
  ],
  ['times and dates, which stay text', 'a: 22:00\nb: 2026-01-01', { a: '22:00', b: '2026-01-01' }],
  ['an anchor with an alias', 'a: &a [1]\nb: *a', { a: [1], b: [1] }],
  ['keys that look like numbers', '1: a\n"2": b', { '1': 'a', '2': 'b' }],
  ['text with the tag of text', 'a: !!str 1', { a: '1' }],
  ['JSON with tabs', '{\n\t"a": [\n\t\t1\n\t]\n}', { a: [1] }],
  ['a directive of another version, which changes nothing', '%YAML 1.1\n---\na: yes\nb: 012', { a: 'yes', b: 12 }],
])('reads %s', (_, text, expected) => {
  expect(parseInputText(text, 'in.yaml')).toEqual(expected);
});

it.each([
  ['a key twice', 'a: 1\nb: 2\na: 3\n', 'in.yaml:3:1: Map keys must be unique'],
  ['a key twice in JSON', '{"a": 1, "a": 2}', 'in.yaml:1:10: Map keys must be unique'],
  ['two documents', 'a: 1\n---\na: 2\n', 'in.yaml:2:1: a second document starts here; an input is one document'],
  ['a tag of its own', 'a: !secret x\n', 'in.yaml:1:4: Unresolved tag: !secret'],
  ['binary data', 'a:\n  - !!binary aGVsbG8=\n', 'in.yaml:2:5: Unresolved tag'],
  ['a set', 'a: !!set {x, y}\n', 'in.yaml:1:4: Unresolved tag'],
  ['a merge key', 'x: &x {a: 1}\ny:\n  <<: *x\n', 'in.yaml:3:3: merge keys (<<)'],
  ['an alias without an anchor', 'a:\n  b: *nope\n', 'in.yaml:2:6: no anchor &nope'],
  ['an alias to itself', 'a: &a\n  b: *a\n', 'in.yaml:2:6: *a is part of itself'],
  ['infinity', 'a: .inf\n', 'in.yaml:1:4: .inf is not a finite number'],
  ['no number', 'a: [.nan]\n', 'in.yaml:1:5: .nan is not a finite number'],
  ['a number beyond the largest', '{"a": 1e400}', 'in.yaml:1:7: 1e400 is not a finite number'],
  ['a number that would lose digits', 'a: 12345678901234567890\n', 'in.yaml:1:4: 12345678901234567890 is too large'],
  ['a mapping as a key', '? {a: 1}\n: b\n', 'in.yaml:1:3: a key must be text'],
  ['a tab as indentation', 'a:\n\tb: 1\n', 'in.yaml:2:1: Tabs are not allowed as indentation'],
  ['a list that does not end', 'a: [1, 2\n', 'in.yaml:2:1: '],
  ['a directive that is unknown', '%FOO bar\n---\na: 1\n', 'in.yaml:1:1: Unknown directive'],
  ['a list', '- a\n', 'in.yaml: must be a YAML mapping or a JSON object'],
  ['text', 'a\n', 'in.yaml: must be a YAML mapping or a JSON object'],
  ['nothing', '', 'in.yaml: must be a YAML mapping or a JSON object'],
])('refuses %s, and names the line and column', (_, text, expected) => {
  expect(refusal(text)).toContain(expected);
});

it('refuses aliases that expand to very much', () => {
  const nine = (item: string): string => `[${Array<string>(9).fill(item).join(', ')}]`;
  const levels = Array.from({ length: 8 }, (_, level) => `a${level + 1}: &a${level + 1} ${nine(`*a${level}`)}`);

  expect(refusal(['a0: &a0 [x]', ...levels].join('\n'))).toContain('in.yaml: its aliases expand to too many values');
});

it('refuses what is nested very deep, without a stack overflow', () => {
  expect(refusal('['.repeat(100_000))).toContain('in.yaml:1:');
  expect(refusal(`${'{"a":'.repeat(20_000)}1${'}'.repeat(20_000)}`)).toContain('in.yaml:1:');
});

it('reads every JSON object as JSON.parse does', () => {
  const values = fc.dictionary(fc.string(), fc.jsonValue(), { maxKeys: 5 });
  fc.assert(
    fc.property(values, fc.constantFrom(undefined, 2, '\t'), (value, space) => {
      const text = JSON.stringify(value, null, space);
      fc.pre(!/[:,[]\s*-?\d{16}/.test(text));

      expect(parseInputText(text, 'in.json')).toEqual(JSON.parse(text));
    })
  );
});

describe('files', () => {
  let dir: string;
  beforeAll(async () => {
    dir = await mkdtemp(path.join(tmpdir(), 'cni-input-'));
  });
  afterAll(() => rm(dir, { recursive: true }));

  async function write(content: string | Uint8Array): Promise<string> {
    const file = path.join(dir, 'in.yml');
    await writeFile(file, content);
    return file;
  }

  it('are YAML or JSON, also on standard input', async () => {
    expect(await readInput({ inputFile: await write('a: 1') })).toEqual({ a: 1 });
    expect(await readInput({ inputFile: await write('{"a": 1}') })).toEqual({ a: 1 });
    expect(await readInput({ inputFile: '-' }, Readable.from([Buffer.from('a: '), Buffer.from('1')]))).toEqual({
      a: 1,
    });
    expect(await readInput({ input: 'a: 1' })).toEqual({ a: 1 });
    expect(await readInput({})).toEqual({});
  });

  it('are refused by name', async () => {
    const absent = path.join(dir, 'absent.yaml');

    await expect(readInput({ inputFile: absent })).rejects.toThrow(`${absent} cannot be read: ENOENT`);
    await expect(readInput({ inputFile: dir })).rejects.toThrow(`${dir} cannot be read: EISDIR`);
    await expect(readInput({ input: '{}', inputFile: absent })).rejects.toThrow('not both');
    await expect(readInput({ inputFile: await write(Uint8Array.of(0xff, 0xfe, 0x61)) })).rejects.toThrow('UTF-8');
    await expect(readInput({ inputFile: await write(`a: ${'x'.repeat(1_048_576)}`) })).rejects.toThrow('larger than');
    await expect(readInput({ inputFile: '-' }, Readable.from([Buffer.from('{')]))).rejects.toThrow('standard input:1:');
  });
});

it('of a cluster is validated before anything is started', async () => {
  expect(await readClusterInput('a', { input: 'approval: none', dryRun: true })).toEqual({
    cluster: 'a',
    approval: 'none',
    dryRun: true,
  });
  await expect(readClusterInput('a', { input: '{cleanUp: automatic}' })).rejects.toThrow('cleanUp');
  await expect(readClusterInput('a', { input: 'apiVersion: v2' })).rejects.toThrow('must be cni-migration/v1');
  await expect(readClusterInput('a', { input: 'cluster: b' })).rejects.toThrow('the input is for the cluster "b"');
});
