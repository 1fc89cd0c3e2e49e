import {
  BinaryPayloadConverter,
  CompositePayloadConverter,
  JsonPayloadConverter,
  UndefinedPayloadConverter,
  type Payload,
} from '@temporalio/common';
import type { MalformedPayload } from '../model/malformed-payload.ts';

/**
 * Parses JSON, and returns {@link MalformedPayload} for a JSON payload that is not valid. The SDK's own converter
 * throws, which fails the workflow task repeatedly: a mistyped message would block a migration indefinitely.
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

/** Payload converter of workers and clients; the SDK requires this name. */
export const payloadConverter = new CompositePayloadConverter(
  new UndefinedPayloadConverter(),
  new BinaryPayloadConverter(),
  new TolerantJsonConverter()
);
