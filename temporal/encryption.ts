import { createCipheriv, createDecipheriv, randomBytes } from 'node:crypto';
import type { Payload, PayloadCodec } from '@temporalio/common';
import proto from '@temporalio/proto';
import type { EncryptionKeys } from './keys.ts';
import { encryptedEncoding, encryptionMetadata, type DecryptionProblem } from './payload-converter.ts';

const encoding = Buffer.from(encryptedEncoding);
const cipher = 'aes-256-gcm';
const ivBytes = 12;
const tagBytes = 16;
const { Payload: PayloadProto } = proto.temporal.api.common.v1;

/**
 * Encrypts payloads – inputs, results, messages, summaries, details – with AES-256-GCM before they leave this process,
 * so that Temporal cannot read what it stores. Payloads without encryption, such as a signal sent without keys, are
 * read unchanged. A payload that cannot be decrypted stays encrypted, with the problem in its metadata: the payload
 * converter decides whether that is an error.
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
    const key = keys.get(current);
    if (key === undefined)
      throw new Error(`the key "${current}", which encrypts, is not in the key file; add it there`);
    const iv = randomBytes(ivBytes);
    const encrypting = createCipheriv(cipher, key, iv);
    // The key's ID is not secret, but it is authenticated, so that nobody can change it.
    encrypting.setAAD(Buffer.from(current));
    const ciphertext = Buffer.concat([encrypting.update(PayloadProto.encode(payload).finish()), encrypting.final()]);
    return {
      metadata: { encoding, [encryptionMetadata.keyId]: Buffer.from(current) },
      data: Buffer.concat([iv, encrypting.getAuthTag(), ciphertext]),
    };
  }

  private decrypt(payload: Payload): Payload {
    const { metadata, data } = payload;
    if (metadata?.['encoding'] === undefined || !encoding.equals(metadata['encoding'])) return payload;
    const id = Buffer.from(metadata[encryptionMetadata.keyId] ?? []).toString();
    const key = this.keys.keys.get(id);
    if (key === undefined) return withProblem(payload, 'unknown-key');
    const bytes = Buffer.from(data ?? []);
    try {
      const decrypting = createDecipheriv(cipher, key, bytes.subarray(0, ivBytes));
      decrypting.setAAD(Buffer.from(id));
      decrypting.setAuthTag(bytes.subarray(ivBytes, ivBytes + tagBytes));
      const plaintext = Buffer.concat([decrypting.update(bytes.subarray(ivBytes + tagBytes)), decrypting.final()]);
      return PayloadProto.decode(plaintext);
    } catch {
      return withProblem(payload, 'damaged');
    }
  }
}

function withProblem(payload: Payload, problem: DecryptionProblem): Payload {
  return { ...payload, metadata: { ...payload.metadata, [encryptionMetadata.problem]: Buffer.from(problem) } };
}
