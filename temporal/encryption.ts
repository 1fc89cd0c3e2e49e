import { createCipheriv, createDecipheriv, randomBytes } from 'node:crypto';
import { ValueError, type Payload, type PayloadCodec } from '@temporalio/common';
import proto from '@temporalio/proto';
import type { EncryptionKeys } from './keys.ts';

const encoding = Buffer.from('binary/encrypted');
const cipher = 'aes-256-gcm';
const ivBytes = 12;
const tagBytes = 16;
const { Payload: PayloadProto } = proto.temporal.api.common.v1;

/**
 * Encrypts payloads – inputs, results, messages, summaries, details – with AES-256-GCM before they leave this process,
 * so that Temporal cannot read what it stores. Payloads without encryption, such as a signal sent without keys, are
 * read unchanged.
 */
export class EncryptionCodec implements PayloadCodec {
  private readonly keys: EncryptionKeys;

  constructor(keys: EncryptionKeys) {
    this.keys = keys;
  }

  encode(payloads: Payload[]): Promise<Payload[]> {
    return Promise.resolve(payloads.map((payload) => this.encrypt(payload)));
  }

  decode(payloads: Payload[]): Promise<Payload[]> {
    return Promise.resolve(payloads.map((payload) => this.decrypt(payload)));
  }

  private encrypt(payload: Payload): Payload {
    const { current, keys } = this.keys;
    const iv = randomBytes(ivBytes);
    const encrypting = createCipheriv(cipher, findKey(keys, current), iv);
    // The key's ID is not secret, but it is authenticated, so that nobody can change it.
    encrypting.setAAD(Buffer.from(current));
    const ciphertext = Buffer.concat([encrypting.update(PayloadProto.encode(payload).finish()), encrypting.final()]);
    return {
      metadata: { encoding, 'encryption-key-id': Buffer.from(current) },
      data: Buffer.concat([iv, encrypting.getAuthTag(), ciphertext]),
    };
  }

  private decrypt(payload: Payload): Payload {
    const { metadata, data } = payload;
    if (metadata?.['encoding'] === undefined || data == null || !encoding.equals(metadata['encoding'])) return payload;
    const id = Buffer.from(metadata['encryption-key-id'] ?? []).toString();
    const bytes = Buffer.from(data);
    const decrypting = createDecipheriv(cipher, findKey(this.keys.keys, id), bytes.subarray(0, ivBytes));
    decrypting.setAAD(Buffer.from(id));
    decrypting.setAuthTag(bytes.subarray(ivBytes, ivBytes + tagBytes));
    try {
      const plaintext = Buffer.concat([decrypting.update(bytes.subarray(ivBytes + tagBytes)), decrypting.final()]);
      return PayloadProto.decode(plaintext);
    } catch (error) {
      throw new ValueError(
        `cannot decrypt a payload with the key "${id}": the payload was modified, or the key is not the one that encrypted it`,
        error
      );
    }
  }
}

function findKey(keys: ReadonlyMap<string, Buffer>, id: string): Buffer {
  const key = keys.get(id);
  if (key === undefined)
    throw new ValueError(`a payload needs the key "${id}", which is not in the key file; add it there`);
  return key;
}
