import { spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import type { Server } from 'node:http';
import { connect, type AddressInfo } from 'node:net';
import { text } from 'node:stream/consumers';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { defaultPayloadConverter, type Payload } from '@temporalio/common';
import { projectDir } from '../../lab/paths.ts';
import { payloadConverter, UnreadablePayload } from '../../temporal/payload-converter.ts';
import { EncryptionCodec } from '../../temporal/encryption.ts';
import { readKeyFile, type EncryptionKeys } from '../../temporal/keys.ts';
import { createCodecServer } from '../../temporal/codec-server/server.ts';

const keys = (current: string, ...ids: string[]): EncryptionKeys => ({
  current,
  keys: new Map(ids.map((id) => [id, Buffer.alloc(32, id)])),
});
const codec = new EncryptionCodec(keys('k1', 'k1'));
const payload = (value: unknown): Payload => defaultPayloadConverter.toPayload(value);
const bytes = (data: Uint8Array | null | undefined): Buffer => Buffer.from(data ?? []);

let dir: string;
beforeAll(async () => {
  dir = await mkdtemp(path.join(tmpdir(), 'cni-codec-'));
});
afterAll(() => rm(dir, { recursive: true }));

it('encrypts each time differently, and decrypts to the same payload', async () => {
  const original = payload({ secret: 'plain-to-see' });
  const [one, two] = await codec.encode([original, original]);
  expect(bytes(one?.data).toString('latin1')).not.toContain('plain-to-see');
  expect(bytes(one?.data).equals(bytes(two?.data))).toBe(false);
  const [back] = await codec.decode([one!]);
  expect(defaultPayloadConverter.fromPayload(back!)).toEqual({ secret: 'plain-to-see' });
});

it('returns unencrypted payloads unchanged', async () => {
  const plain = payload({ plan: true });
  expect(await codec.decode([plain])).toEqual([plain]);
});

it('decrypts with an older key, and leaves payloads of unknown keys and changed payloads encrypted', async () => {
  const [encrypted] = (await codec.encode([payload('x')])) as [Payload];
  expect(
    defaultPayloadConverter.fromPayload((await new EncryptionCodec(keys('k2', 'k1', 'k2')).decode([encrypted]))[0]!)
  ).toBe('x');
  const read = async (used: EncryptionKeys, changed: Payload): Promise<unknown> => {
    const [decoded] = await new EncryptionCodec(used).decode([changed]);
    expect(decoded?.data).toEqual(changed.data);
    return payloadConverter.fromPayload(decoded!);
  };
  await expect(read(keys('k2', 'k2'), encrypted)).rejects.toThrow(
    'cannot read a payload: it is encrypted with the key "k1", which is not in the key file; CNI_MIGRATION_KEYS has to name'
  );
  const data = bytes(encrypted.data);
  data[data.length - 1] = (data.at(-1) ?? 0) ^ 1;
  for (const changed of [data, Buffer.from('short'), Buffer.alloc(0)]) {
    await expect(read(keys('k1', 'k1'), { ...encrypted, data: changed })).rejects.toThrow(/"k1", but was modified, or/);
  }
});

it.each([
  ['text that is not valid JSON', { metadata: { encoding: Buffer.from('json/plain') }, data: Buffer.from('{') }, false],
  ['an unknown encoding', { metadata: { encoding: Buffer.from('x/y') }, data: Buffer.from('{}') }, false],
  ['no metadata', {}, false],
  ['encryption, without keys', { metadata: { encoding: Buffer.from('binary/encrypted') } }, true],
])('gives clients and activities an error for %s', (_title, unreadable, dependsOnKeys) => {
  const error = jest.fn(() => payloadConverter.fromPayload(unreadable));
  expect(error).toThrow(UnreadablePayload);
  expect(error).toThrow(expect.objectContaining({ dependsOnKeys }) as Error);
});

it.each([
  ['invalid YAML', '{', /is not valid YAML/],
  ['a current key that is not there', '{current: a, keys: {}}', /current: must be the ID of one of the keys/],
  ['a short key', `{current: a, keys: {a: "${randomBytes(16).toString('base64')}"}}`, /has 16 bytes; it must have 32/],
  ['a key that is no base64', '{current: a, keys: {a: "hunter2!"}}', /must be base64/],
])('refuses a file of keys with %s without quoting it', async (_what, text, problem) => {
  const file = path.join(dir, 'keys.yaml');
  await writeFile(file, text);
  const error = await readKeyFile(file).catch((thrown: unknown) => thrown as Error);
  expect((error as Error).message).toMatch(problem);
  expect((error as Error).message).not.toContain('hunter2');
});

describe('the codec server', () => {
  let server: Server;
  let url: string;
  beforeAll(async () => {
    const options = { keys: keys('k1', 'k1'), origins: ['http://ui.example'], token: 'open-sesame' };
    server = createCodecServer(options);
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  });
  afterAll(() => new Promise((resolve) => server.close(resolve)));

  const authorization = 'Bearer open-sesame';
  const post = (where: string, body: string, headers: Record<string, string> = { authorization }) =>
    fetch(`${url}${where}`, { method: 'POST', body, headers });
  const body = JSON.stringify({ payloads: [{ metadata: { encoding: btoa('json/plain') }, data: btoa('"x"') }] });

  it('encrypts and decrypts', async () => {
    const encoded = await (await post('/encode', body)).text();
    expect(encoded).toContain(btoa('binary/encrypted'));
    expect(await (await post('/decode', encoded)).json()).toEqual(JSON.parse(body));
  });

  it('returns a payload that it cannot decrypt as it is, next to those that it can', async () => {
    const { payloads } = JSON.parse(await (await post('/encode', body)).text()) as { payloads: object[] };
    const unknown = {
      metadata: { encoding: btoa('binary/encrypted'), 'encryption-key-id': btoa('k2') },
      data: btoa('x'),
    };

    const decoded = (await (await post('/decode', JSON.stringify({ payloads: [unknown, ...payloads] }))).json()) as {
      payloads: unknown[];
    };

    expect(decoded.payloads[0]).toMatchObject(unknown);
    expect(decoded.payloads[1]).toEqual((JSON.parse(body) as { payloads: unknown[] }).payloads[0]);
  });

  it('refuses requests without the token, and unknown requests', async () => {
    expect((await post('/decode', body, {})).status).toBe(401);
    expect((await post('/decode', body, { authorization: 'Bearer guess-guess' })).status).toBe(401);
    expect((await post('/other', body)).status).toBe(404);
    expect((await fetch(`${url}/decode`, { headers: { authorization } })).status).toBe(405);
    expect((await post('/decode', 'not JSON')).status).toBe(400);
    expect((await post('/decode', '{"payloads": 7}')).status).toBe(400);
    expect((await post('/decode', 'x'.repeat(17 * 1024 * 1024))).status).toBe(413);
  });

  it('takes the token in the path too, and shows without a token that it runs', async () => {
    expect((await post('/open-sesame/decode', body, {})).status).toBe(200);
    expect((await post('/guess/decode', body, {})).status).toBe(401);
    expect((await post('/open-sesame/decode', body, { authorization: 'Bearer guess-guess' })).status).toBe(401);
    expect((await fetch(`${url}/livez`)).status).toBe(200);
  });

  it('encrypts for the namespace that a client sends, and for the workflow that it names', async () => {
    const metadataOf = async (headers: Record<string, string>): Promise<Record<string, string>> => {
      const answer = await post('/encode', body, { authorization, ...headers });
      const { payloads } = (await answer.json()) as { payloads: { metadata: Record<string, string> }[] };
      return payloads[0]!.metadata;
    };
    const binding = (metadata: Record<string, string>): unknown =>
      JSON.parse(atob(metadata['encryption-binding'] ?? ''));

    expect(await metadataOf({})).not.toHaveProperty('encryption-binding');
    expect(binding(await metadataOf({ 'X-Namespace': 'ops' }))).toEqual({ namespace: 'ops' });
    expect(binding(await metadataOf({ 'X-Namespace': 'ops', 'X-Workflow-Id': 'w' }))).toEqual({
      ...{ namespace: 'ops', workflowId: 'w' },
    });
  });

  it('refuses more payloads than it can answer quickly', async () => {
    const many = (count: number, payloadText: string): string =>
      `{"payloads":[${Array(count).fill(payloadText).join()}]}`;
    const metadata = JSON.stringify(Object.fromEntries(Array.from({ length: 21 }, (_, index) => [`k${index}`, ''])));

    expect((await post('/encode', many(5_001, '{}'))).status).toBe(400);
    expect((await post('/encode', many(1, `{"metadata":${metadata}}`))).status).toBe(400);
    expect((await post('/encode', many(5_000, '{}'))).status).toBe(200);
  });

  it('without a token answers no page that makes its own name resolve to the server', async () => {
    const open = createCodecServer({ keys: keys('k1', 'k1'), origins: [] });
    await new Promise<void>((resolve) => open.listen(0, '127.0.0.1', resolve));
    const { port } = open.address() as AddressInfo;
    const status = async (host: string): Promise<number> => {
      const socket = connect(port, '127.0.0.1');
      const length = Buffer.byteLength(body);
      socket.end(
        `POST /encode HTTP/1.1\r\nHost: ${host}\r\nContent-Length: ${length}\r\nConnection: close\r\n\r\n${body}`
      );
      return Number(/^HTTP\/1.1 (\d+)/.exec(await text(socket))?.[1]);
    };

    expect(await Promise.all(['localhost', '127.0.0.1:8091', '[::1]:8091'].map(status))).toEqual([200, 200, 200]);
    expect(
      await Promise.all(['evil.example', 'localhost.evil.example:8091', '127.0.0.1.evil.example', ''].map(status))
    ).toEqual([403, 403, 403, 403]);
    await new Promise((resolve) => open.close(resolve));
  });

  it('does not start without a token, unless that is allowed by name', async () => {
    const keyFile = path.join(dir, 'codec-keys-2.yaml');
    await writeFile(keyFile, `{current: k1, keys: {k1: ${randomBytes(32).toString('base64')}}}`);
    const main = path.join(projectDir, 'temporal', 'codec-server', 'main.ts');
    // An address on which it cannot listen, so that it ends.
    const env = { ...process.env, CNI_MIGRATION_KEYS: keyFile, CNI_MIGRATION_CODEC_ADDRESS: '192.0.2.1:1' };
    const start = (more: NodeJS.ProcessEnv): string =>
      spawnSync(process.execPath, [main], { env: { ...env, ...more }, encoding: 'utf8', timeout: 20_000 }).stderr;

    expect(start({})).toContain('set CNI_MIGRATION_CODEC_TOKEN_FILE');
    expect(start({ CNI_MIGRATION_ALLOW: 'plaintext-temporal' })).toContain('CNI_MIGRATION_ALLOW=codec-without-token');
    expect(start({ CNI_MIGRATION_ALLOW: 'codec-without-token' })).toContain('EADDRNOTAVAIL');
  });

  it('does not start with an empty token, which every request would have', async () => {
    const [keyFile, tokenFile] = [path.join(dir, 'codec-keys.yaml'), path.join(dir, 'codec-token')];
    await writeFile(keyFile, `{current: k1, keys: {k1: ${randomBytes(32).toString('base64')}}}`);
    await writeFile(tokenFile, '\n');
    const main = path.join(projectDir, 'temporal', 'codec-server', 'main.ts');
    const env = {
      ...process.env,
      CNI_MIGRATION_KEYS: keyFile,
      CNI_MIGRATION_CODEC_TOKEN_FILE: tokenFile,
      CNI_MIGRATION_CODEC_ADDRESS: '127.0.0.1:0',
    };

    const started = spawnSync(process.execPath, [main], { env, encoding: 'utf8', timeout: 20_000 });

    expect(started).toMatchObject({ status: 1, stderr: `the token file ${tokenFile} is empty\n` });
  });

  it('accepts requests of the configured origin only', async () => {
    const sendOptions = (origin: string) => fetch(`${url}/decode`, { method: 'OPTIONS', headers: { origin } });
    expect((await sendOptions('http://ui.example')).headers.get('access-control-allow-origin')).toBe(
      'http://ui.example'
    );
    expect((await sendOptions('http://evil.example')).headers.get('access-control-allow-origin')).toBeNull();
  });
});
