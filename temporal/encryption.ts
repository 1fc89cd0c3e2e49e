import { createCipheriv, createDecipheriv, randomBytes } from 'node:crypto';
import type { Payload, PayloadCodec, SerializationContext } from '@temporalio/common';
import proto from '@temporalio/proto';
import { belongsTo, bindingOf, formatBinding, parseBinding, type Binding } from './binding.ts';
import type { EncryptionKeys, EncryptionRequirement } from './keys.ts';
import { encryptedEncoding, encryptionMetadata, type DecryptionProblem } from './payload-converter.ts';

const encoding = Buffer.from(encryptedEncoding);
const cipher = 'aes-256-gcm';
const ivBytes = 12;
const tagBytes = 16;
const { Payload: PayloadProto } = proto.temporal.api.common.v1;

/** Options of {@link EncryptionCodec}. */
export interface CodecOptions {
  /**
   * What received payloads must be.
   * @default payloads may be plain
   */
  require?: EncryptionRequirement | undefined;
  /**
   * False to decrypt payloads of any workflow, as for a replay of a history from another namespace.
   * @default true
   */
  checksBinding?: boolean;
}

/**
 * Encrypts payloads – inputs, results, messages, summaries, details – with AES-256-GCM before they leave this process,
 * so that Temporal cannot read what it stores. Each payload is bound to its namespace, workflow and activity. Payloads of
 * builds that did not bind them are decrypted too. Payloads without encryption, such as a signal sent without keys, are
 * read unchanged, unless encryption is required. A payload that cannot be decrypted or is refused stays as it is, with
 * the problem in its metadata: the payload converter decides whether that is an error.
 */
export class EncryptionCodec implements PayloadCodec {
  private readonly keys: EncryptionKeys;
  private readonly required: EncryptionRequirement | undefined;
  private readonly checksBinding: boolean;

  constructor(keys: EncryptionKeys, { require: required, checksBinding = true }: CodecOptions = {}) {
    this.keys = keys;
    this.required = required;
    this.checksBinding = checksBinding;
  }

  encode(payloads: Payload[], context?: SerializationContext): Promise<Payload[]> {
    return Promise.resolve(this.encodeFor(payloads, context && bindingOf(context)));
  }

  /**
   * Encrypts payloads for a place.
   * @param binding the place; undefined for any place.
   */
  encodeFor(payloads: readonly Payload[], binding: Binding | undefined): Payload[] {
    return payloads.map((payload) => this.encrypt(payload, binding && formatBinding(binding)));
  }

  decode(payloads: Payload[], context?: SerializationContext): Promise<Payload[]> {
    return Promise.resolve(
      payloads.map((payload) => {
        const problem = this.findProblem(payload, context);
        if (problem !== undefined) return withProblem(payload, problem);
        return isEncrypted(payload) ? this.markRequired(this.decrypt(payload)) : payload;
      })
    );
  }

  private encrypt(payload: Payload, binding: string | undefined): Payload {
    const { current, keys } = this.keys;
    const key = keys.get(current);
    if (key === undefined)
      throw new Error(`the key "${current}", which encrypts, is not in the key file; add it there`);
    const iv = randomBytes(ivBytes);
    const encrypting = createCipheriv(cipher, key, iv, { authTagLength: tagBytes });
    encrypting.setAAD(authenticatedData(current, binding));
    const ciphertext = Buffer.concat([encrypting.update(PayloadProto.encode(payload).finish()), encrypting.final()]);
    return {
      metadata: {
        encoding,
        [encryptionMetadata.keyId]: Buffer.from(current),
        ...(binding !== undefined && { [encryptionMetadata.binding]: Buffer.from(binding) }),
      },
      data: Buffer.concat([iv, encrypting.getAuthTag(), ciphertext]),
    };
  }

  /** Returns why a payload is refused before it is decrypted. */
  private findProblem(payload: Payload, context: SerializationContext | undefined): DecryptionProblem | undefined {
    if (!isEncrypted(payload)) return this.required === undefined ? undefined : 'not-encrypted';
    if (context === undefined || !this.checksBinding) return undefined;
    const text = readText(payload, encryptionMetadata.binding);
    const binding = text === undefined ? undefined : parseBinding(text);
    if (text !== undefined && (binding === undefined || !belongsTo(binding, context))) return 'other-place';
    return this.required === 'bound' && binding?.workflowId === undefined ? 'not-bound' : undefined;
  }

  private decrypt(payload: Payload): Payload {
    const id = readText(payload, encryptionMetadata.keyId) ?? '';
    const key = this.keys.keys.get(id);
    if (key === undefined) return withProblem(payload, 'unknown-key');
    const bytes = Buffer.from(payload.data ?? []);
    try {
      // With a fixed length of the tag: a shorter one would be easier to forge.
      const decrypting = createDecipheriv(cipher, key, bytes.subarray(0, ivBytes), { authTagLength: tagBytes });
      decrypting.setAAD(authenticatedData(id, readText(payload, encryptionMetadata.binding)));
      decrypting.setAuthTag(bytes.subarray(ivBytes, ivBytes + tagBytes));
      const plaintext = Buffer.concat([decrypting.update(bytes.subarray(ivBytes + tagBytes)), decrypting.final()]);
      return PayloadProto.decode(plaintext);
    } catch {
      return withProblem(payload, 'damaged');
    }
  }

  /** Informs the workflow, in its sandbox, that a message without any payload is not encrypted. */
  private markRequired(payload: Payload): Payload {
    if (this.required === undefined) return payload;
    return { ...payload, metadata: { ...payload.metadata, [encryptionMetadata.required]: Buffer.from('true') } };
  }
}

/**
 * Returns what is authenticated in addition to the content: the key's ID and the binding, which are not secret, but which
 * nobody can change. Without a binding it is the ID alone, as in payloads of builds that did not bind them.
 */
function authenticatedData(keyId: string, binding: string | undefined): Buffer {
  return Buffer.from(binding === undefined ? keyId : JSON.stringify([keyId, binding]));
}

function isEncrypted({ metadata }: Payload): boolean {
  return metadata?.['encoding'] != null && encoding.equals(metadata['encoding']);
}

function readText({ metadata }: Payload, name: string): string | undefined {
  const bytes = metadata?.[name];
  return bytes == null ? undefined : Buffer.from(bytes).toString();
}

function withProblem(payload: Payload, problem: DecryptionProblem): Payload {
  return { ...payload, metadata: { ...payload.metadata, [encryptionMetadata.problem]: Buffer.from(problem) } };
}
