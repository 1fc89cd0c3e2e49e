import {
  BinaryPayloadConverter,
  CompositePayloadConverter,
  JsonPayloadConverter,
  UndefinedPayloadConverter,
  type Payload,
} from '@temporalio/common';
import type { MalformedPayload } from '../model/malformed-payload.ts';

/**
 * Reads JSON, and gives {@link MalformedPayload} for what claims to be and is not. The SDK's own converter throws, which
 * fails the workflow task again and again: a mistyped message would hold up a migration for ever.
 */
class TolerantJsonConverter extends JsonPayloadConverter {
  override fromPayload<T>(content: Payload): T {
    try {
      return super.fromPayload<T>(content);
    } catch {
      return { malformedPayload: true } satisfies MalformedPayload as T;
    }
  }
}

/** The converter of workers and of clients; the SDK looks for it by this name. */
export const payloadConverter = new CompositePayloadConverter(
  new UndefinedPayloadConverter(),
  new BinaryPayloadConverter(),
  new TolerantJsonConverter()
);
