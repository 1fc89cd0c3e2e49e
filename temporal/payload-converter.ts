import {
  BinaryPayloadConverter,
  CompositePayloadConverter,
  JsonPayloadConverter,
  UndefinedPayloadConverter,
  ValueError,
  type ConverterHint,
  type Payload,
  type SerializationContext,
} from '@temporalio/common';
import { decode } from '@temporalio/common/lib/encoding.js';
import { withoutControls } from '../model/printable.ts';

/** Encoding of an encrypted payload. */
export const encryptedEncoding = 'binary/encrypted';

/** Names of the metadata of an encrypted payload. */
export const encryptionMetadata = {
  keyId: 'encryption-key-id',
  /** Place for which it is encrypted, as JSON. */
  binding: 'encryption-binding',
  /** Written by the codec that decrypts. */
  problem: 'decryption-problem',
  /** Written by the codec that decrypts, when it refuses plain payloads. */
  required: 'encryption-required',
} as const;

/**
 * Why a payload is not decrypted: the key is not in the key file; the payload does not fit the key; it is encrypted for
 * another workflow or activity; or it is not encrypted, or not for one workflow, although that is required.
 */
export type DecryptionProblem = 'unknown-key' | 'damaged' | 'other-place' | 'not-encrypted' | 'not-bound';

/** Maximum length of metadata in a text, in characters: any client can write it. */
const maxQuotedLength = 60;
const maxBindingLength = 250;

/** Error for a payload that cannot be read. Its texts quote no content. */
export class UnreadablePayload extends ValueError {
  override readonly name = 'UnreadablePayload';
  /** Problem in words that follow "the message". */
  readonly problem: string;
  /** True when a process with other keys, or other requirements, may be able to read the payload. */
  readonly dependsOnKeys: boolean;

  constructor(payload: Payload, cause: unknown) {
    const encoding = readMetadata(payload, 'encoding');
    const dependsOnKeys = encoding === encryptedEncoding || hasProblem(payload);
    const problem = dependsOnKeys ? describeEncrypted(payload) : describeEncoding(encoding);
    const remedy = dependsOnKeys && !isRefused(payload) ? remedyOfKeys : '';
    super(`cannot read a payload: it ${problem}${remedy}`, cause);
    this.problem = problem;
    this.dependsOnKeys = dependsOnKeys;
  }
}

const remedyOfKeys = '; CNI_MIGRATION_KEYS has to name a key file with that key';

/** Problems that no other key solves. */
const refusals: readonly string[] = ['other-place', 'not-encrypted', 'not-bound'] satisfies DecryptionProblem[];

function isRefused(payload: Payload): boolean {
  return refusals.includes(readMetadata(payload, encryptionMetadata.problem) ?? '');
}

/** True for a payload that the codec did not decrypt. */
export function hasProblem(payload: Payload): boolean {
  return payload.metadata?.[encryptionMetadata.problem] != null;
}

function describeEncrypted(payload: Payload): string {
  const key = `the key "${readMetadata(payload, encryptionMetadata.keyId) ?? ''}"`;
  switch (readMetadata(payload, encryptionMetadata.problem) as DecryptionProblem | undefined) {
    case 'unknown-key':
      return `is encrypted with ${key}, which is not in the key file`;
    case 'damaged':
      return `is encrypted with ${key}, but was modified, or that is not the key that encrypted it`;
    case 'other-place':
      return `is encrypted for another workflow or activity, ${readMetadata(payload, encryptionMetadata.binding, maxBindingLength) ?? ''}; encrypt it for this one`;
    case 'not-encrypted':
      return 'is not encrypted, and this process requires that (CNI_MIGRATION_REQUIRE_ENCRYPTION); send it with cni-migrate and the keys, or through the codec server';
    case 'not-bound':
      return 'is not encrypted for this workflow, and this process requires that (CNI_MIGRATION_REQUIRE_ENCRYPTION); send it with cni-migrate and the keys';
    default:
      return `is encrypted with ${key}, and no keys are configured`;
  }
}

function describeEncoding(encoding: string | undefined): string {
  if (encoding === 'json/plain') return 'is not valid JSON';
  return `${encoding === undefined ? 'has no encoding' : `has the encoding "${encoding}"`}; send JSON (json/plain)`;
}

/** Reads an entry of a payload's metadata, for a text. */
export function readMetadata({ metadata }: Payload, name: string, maxLength = maxQuotedLength): string | undefined {
  const bytes = metadata?.[name];
  return bytes == null ? undefined : withoutControls(decode(bytes)).slice(0, maxLength);
}

class StrictConverter extends CompositePayloadConverter {
  override fromPayload<T>(payload: Payload, context?: SerializationContext, hint?: ConverterHint<T>): T {
    if (hasProblem(payload)) throw new UnreadablePayload(payload, undefined);
    try {
      return super.fromPayload<T>(payload, context, hint);
    } catch (error) {
      throw new UnreadablePayload(payload, error);
    }
  }
}

/**
 * Payload converter of clients and activities; the SDK requires this name. Throws {@link UnreadablePayload} instead of
 * returning anything that a caller could take for data.
 */
export const payloadConverter = new StrictConverter(
  new UndefinedPayloadConverter(),
  new BinaryPayloadConverter(),
  new JsonPayloadConverter()
);
