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
export const encryptionMetadata = { keyId: 'encryption-key-id', problem: 'decryption-problem' } as const;

/** Why a payload stays encrypted: the key is not in the key file, or the payload does not fit the key. */
export type DecryptionProblem = 'unknown-key' | 'damaged';

/** Maximum length of metadata in a text, in characters: any client can write it. */
const maxQuotedLength = 60;

/** Error for a payload that cannot be read. Its texts quote no content. */
export class UnreadablePayload extends ValueError {
  override readonly name = 'UnreadablePayload';
  /** Problem in words that follow "the message". */
  readonly problem: string;
  /** True when a process with other keys may be able to read the payload. */
  readonly dependsOnKeys: boolean;

  constructor(payload: Payload, cause: unknown) {
    const encoding = readMetadata(payload, 'encoding');
    const dependsOnKeys = encoding === encryptedEncoding;
    const problem = dependsOnKeys ? describeEncrypted(payload) : describeEncoding(encoding);
    const remedy = dependsOnKeys ? '; CNI_MIGRATION_KEYS has to name a key file with that key' : '';
    super(`cannot read a payload: it ${problem}${remedy}`, cause);
    this.problem = problem;
    this.dependsOnKeys = dependsOnKeys;
  }
}

function describeEncrypted(payload: Payload): string {
  const key = `the key "${readMetadata(payload, encryptionMetadata.keyId) ?? ''}"`;
  switch (readMetadata(payload, encryptionMetadata.problem) as DecryptionProblem | undefined) {
    case 'unknown-key':
      return `is encrypted with ${key}, which is not in the key file`;
    case 'damaged':
      return `is encrypted with ${key}, but was modified, or that is not the key that encrypted it`;
    default:
      return `is encrypted with ${key}, and no keys are configured`;
  }
}

function describeEncoding(encoding: string | undefined): string {
  if (encoding === 'json/plain') return 'is not valid JSON';
  return `${encoding === undefined ? 'has no encoding' : `has the encoding "${encoding}"`}; send JSON (json/plain)`;
}

/** Reads an entry of a payload's metadata, for a text. */
export function readMetadata({ metadata }: Payload, name: string): string | undefined {
  const bytes = metadata?.[name];
  return bytes == null ? undefined : withoutControls(decode(bytes)).slice(0, maxQuotedLength);
}

class StrictConverter extends CompositePayloadConverter {
  override fromPayload<T>(payload: Payload, context?: SerializationContext, hint?: ConverterHint<T>): T {
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
