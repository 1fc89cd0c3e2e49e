import { createCipheriv } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { hostname, tmpdir } from 'node:os';
import path from 'node:path';
import { defaultPayloadConverter, type Payload, type SerializationContext } from '@temporalio/common';
import proto from '@temporalio/proto';
import { identityOption } from '../../temporal/identity.ts';
import { EncryptionCodec, type CodecOptions } from '../../temporal/encryption.ts';
import { computeNodeIdSecret, loadConfiguredKeys, type EncryptionKeys } from '../../temporal/keys.ts';
import { payloadConverter } from '../../temporal/payload-converter.ts';
import { createRequestActivities } from '../../activities/plan/resolve-request.ts';
import { keyedDigest } from '../../model/keyed-digest.ts';
import { nodeWorkflowId } from '../../workflows/messages.ts';
import { testKeys } from '../support/payloads.ts';

const keys = testKeys('k1');
const approval = { plan: true, by: 'ann' };
const prod: SerializationContext = { type: 'workflow', namespace: 'default', workflowId: 'cni-migration/prod' };
const activity: SerializationContext = {
  ...{ type: 'activity', namespace: 'default', workflowId: 'cni-migration/prod', activityId: '3', isLocal: false },
};

async function encrypt(context?: SerializationContext): Promise<Payload> {
  const [payload] = await new EncryptionCodec(keys).encode([defaultPayloadConverter.toPayload(approval)], context);
  return payload!;
}

/** Reads a payload as a client or an activity does. */
async function read(payload: Payload, context?: SerializationContext, options?: CodecOptions): Promise<unknown> {
  const [decoded] = await new EncryptionCodec(keys, options).decode([payload], context);
  return payloadConverter.fromPayload(decoded!);
}

/** Encrypts as the builds did that did not bind payloads, independent of today's code. */
function encryptAsBefore(key: Buffer, value: unknown, tagBytes = 16): Payload {
  const iv = Buffer.alloc(12, 7);
  const cipher = createCipheriv('aes-256-gcm', key, iv, { authTagLength: tagBytes });
  cipher.setAAD(Buffer.from('k1'));
  const content = proto.temporal.api.common.v1.Payload.encode(defaultPayloadConverter.toPayload(value)).finish();
  const data = Buffer.concat([cipher.update(content), cipher.final()]);
  const metadata = { encoding: Buffer.from('binary/encrypted'), 'encryption-key-id': Buffer.from('k1') };
  return { metadata, data: Buffer.concat([iv, cipher.getAuthTag(), data]) };
}

const oldKey = keys.keys.get('k1')!;

describe('a payload', () => {
  it.each([
    ['a workflow', prod],
    ['an activity', activity],
  ])('is read where it belongs: in %s, and where the place is not known', async (_title, context) => {
    const payload = await encrypt(context);

    expect(await read(payload, context, { require: 'bound' })).toEqual(approval);
    // As in the codec server.
    expect(await read(payload)).toEqual(approval);
  });

  it.each([
    ['another workflow', prod, { ...prod, workflowId: 'cni-migration/staging' }],
    ['another namespace', prod, { ...prod, namespace: 'other' }],
    ['an activity', prod, activity],
    ['another activity', activity, { ...activity, activityId: '4' }],
    ['a message', activity, prod],
  ])('is refused when it is sent again to or as %s', async (_title, from, to) => {
    const replayed = read(await encrypt(from), to);

    await expect(replayed).rejects.toThrow('is encrypted for another workflow or activity, {"namespace":"default",');
  });

  it('cannot be bound to another place, or to none, by a change of its metadata', async () => {
    const payload = await encrypt(prod);
    const staging = { ...prod, workflowId: 'cni-migration/staging' };
    const binding = Buffer.from(JSON.stringify({ namespace: 'default', workflowId: staging.workflowId }));
    const { 'encryption-binding': _removed, ...unbound } = payload.metadata!;

    const moved = { ...payload, metadata: { ...payload.metadata, 'encryption-binding': binding } };
    const broken = { ...payload, metadata: { ...payload.metadata, 'encryption-binding': Buffer.from('{') } };

    await expect(read(moved, staging)).rejects.toThrow('but was modified');
    await expect(read({ ...payload, metadata: unbound }, staging)).rejects.toThrow('but was modified');
    await expect(read(broken, staging)).rejects.toThrow('is encrypted for another workflow');
  });

  it('of a build that did not bind payloads stays readable', async () => {
    const payload = encryptAsBefore(oldKey, approval);

    expect(await read(payload, prod)).toEqual(approval);
    expect(await read(payload, prod, { require: 'encrypted' })).toEqual(approval);
    await expect(read(payload, prod, { require: 'bound' })).rejects.toThrow('is not encrypted for this workflow');
  });

  it.each([4, 8, 12, 15])('with a tag of %i bytes is refused', async (tagBytes) => {
    const payload = encryptAsBefore(oldKey, undefined, tagBytes === 15 ? 15 : tagBytes);
    // The shortest attack has no content: the tag is all that follows.
    const empty = { ...payload, data: payload.data!.subarray(0, 12 + tagBytes) };

    for (const forged of [payload, empty]) await expect(read(forged, prod)).rejects.toThrow('but was modified');
  });

  it('without encryption is refused where encryption is required', async () => {
    const plain = defaultPayloadConverter.toPayload(approval);

    expect(await read(plain, prod)).toEqual(approval);
    for (const required of ['encrypted', 'bound'] as const) {
      for (const context of [prod, activity]) {
        await expect(read(plain, context, { require: required })).rejects.toThrow(
          /is not encrypted, and this process requires that \(CNI_MIGRATION_REQUIRE_ENCRYPTION\)/
        );
      }
    }
  });

  it('of the codec server, which knows the namespace only, is accepted unless payloads must be bound', async () => {
    const [payload] = new EncryptionCodec(keys).encodeFor([defaultPayloadConverter.toPayload(approval)], {
      namespace: 'default',
    });

    expect(await read(payload!, prod, { require: 'encrypted' })).toEqual(approval);
    await expect(read(payload!, { ...prod, namespace: 'other' })).rejects.toThrow('is encrypted for another');
    await expect(read(payload!, prod, { require: 'bound' })).rejects.toThrow('is not encrypted for this workflow');
  });

  it('cannot set the marks of the codec itself to be read', async () => {
    const marked = defaultPayloadConverter.toPayload(approval);
    marked.metadata = { ...marked.metadata, 'decryption-problem': Buffer.from('not-encrypted') };

    await expect(read(marked, prod)).rejects.toThrow('is not encrypted');
  });
});

describe('the requirement', () => {
  let dir: string;
  let file: string;
  beforeAll(async () => {
    dir = await mkdtemp(path.join(tmpdir(), 'cni-encryption-'));
    file = path.join(dir, 'keys.yaml');
    await writeFile(file, `{current: k1, keys: {k1: ${oldKey.toString('base64')}}}`);
  });
  afterAll(() => rm(dir, { recursive: true }));

  const load = (more: NodeJS.ProcessEnv): Promise<EncryptionKeys | undefined> => loadConfiguredKeys(more);

  it('is read with the keys', async () => {
    expect(await load({})).toBeUndefined();
    expect((await load({ CNI_MIGRATION_KEYS: file }))?.require).toBeUndefined();
    for (const required of ['encrypted', 'bound']) {
      const loaded = await load({ CNI_MIGRATION_KEYS: file, CNI_MIGRATION_REQUIRE_ENCRYPTION: required });
      expect(loaded?.require).toBe(required);
    }
  });

  it('is refused without keys, and when it is misspelt', async () => {
    const name = 'CNI_MIGRATION_REQUIRE_ENCRYPTION';
    await expect(load({ [name]: 'bound' })).rejects.toThrow(/needs keys: set CNI_MIGRATION_KEYS/);
    await expect(load({ CNI_MIGRATION_KEYS: file, [name]: 'yes' })).rejects.toThrow(
      /must be encrypted or bound, not yes/
    );
  });
});

it('hides the name of the host, which in a cluster is a node, from Temporal', () => {
  expect(identityOption(undefined)).toEqual({});
  expect(identityOption(keys).identity).toMatch(/^\d+@[\da-f]{12}$/);
  expect(identityOption(keys).identity).not.toContain(hostname());
});

describe('IDs of nodes with encryption', () => {
  it('contain a digest that depends on the secret, the migration and the node', () => {
    const [secret, other] = [computeNodeIdSecret(keys), computeNodeIdSecret(testKeys('k2'))];
    const ids = [
      nodeWorkflowId('cni-migration/prod', 'worker-1', secret),
      nodeWorkflowId('cni-migration/prod', 'worker-2', secret),
      nodeWorkflowId('cni-migration/staging', 'worker-1', secret),
      nodeWorkflowId('cni-migration/prod', 'worker-1', other),
    ];

    expect(new Set(ids.map((id) => id.split('/').at(-1))).size).toBe(ids.length);
    for (const id of ids) expect(id).toMatch(/^cni-migration\/(prod|staging)\/node\/[\da-f]{20}$/);
    expect(nodeWorkflowId('cni-migration/prod', 'worker-1')).toBe('cni-migration/prod/node/worker-1');
  });

  it('stay the same when a key is added', () => {
    expect(computeNodeIdSecret(testKeys('k2', 'k1'))).toBe(computeNodeIdSecret(testKeys('k1')));
  });

  it('are part of the resolved request only with encryption', async () => {
    const request = { cluster: 'prod' };
    expect(await createRequestActivities().resolveRequest({ request })).not.toHaveProperty('nodeIdSecret');
    expect(await createRequestActivities('s').resolveRequest({ request })).toHaveProperty('nodeIdSecret', 's');
  });

  it('use HMAC-SHA-256 (test case 2 of RFC 4231)', () => {
    const digest = '5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843';
    expect(keyedDigest('Jefe', 'what do ya want for nothing?')).toBe(digest);
  });
});
