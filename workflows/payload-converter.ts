/**
 * Payload converter of workflows. It is part of their bundle and runs in their sandbox; clients and activities use the
 * strict one of `temporal/`.
 */
import type { ConverterHint, Payload, PayloadConverter, SerializationContext } from '@temporalio/common';
import { workflowInfo } from '@temporalio/workflow';
import { malformedPayload } from '../model/malformed-payload.ts';
import {
  encryptionMetadata,
  payloadConverter as strict,
  readMetadata,
  UnreadablePayload,
} from '../temporal/payload-converter.ts';

/** True once this worker's codec has marked a payload: it refuses those that are not encrypted. */
let encryptionRequired = false;

/** Returns true when a message without any payload, which no codec sees, is refused as one that is not encrypted. */
export function isEncryptionRequired(): boolean {
  return encryptionRequired;
}

/**
 * Returns a replacement for a payload that this workflow received and that cannot be read: its input, a signal, an
 * update or a query. An error would fail the workflow task repeatedly, so that one mistyped message would block a
 * migration indefinitely. Results of activities and of other workflows stay strict: a task that fails is retried until
 * a worker can read them, and nobody mistakes the replacement for a result.
 */
class MessageConverter implements PayloadConverter {
  toPayload<T>(value: T, context?: SerializationContext, hint?: ConverterHint<T>): Payload {
    return strict.toPayload(value, context, hint);
  }

  fromPayload<T>(payload: Payload, context?: SerializationContext, hint?: ConverterHint<T>): T {
    encryptionRequired ||= payload.metadata?.[encryptionMetadata.required] != null;
    if (!isReceived(context)) return strict.fromPayload<T>(payload, context, hint);
    // No message contains bytes. Even their number of entries would keep the workflow from answering.
    if (readMetadata(payload, 'encoding') === 'binary/plain') return malformedPayload('is binary; send JSON') as T;
    try {
      return strict.fromPayload<T>(payload, context, hint);
    } catch (error) {
      if (!(error instanceof UnreadablePayload)) throw error;
      return malformedPayload(error.problem, { dependsOnKeys: error.dependsOnKeys }) as T;
    }
  }
}

/** True for a payload that belongs to this workflow, not to one of its activities or children. */
function isReceived(context: SerializationContext | undefined): boolean {
  return context?.type === 'workflow' && context.workflowId === workflowInfo().workflowId;
}

/** The SDK requires this name. */
export const payloadConverter = new MessageConverter();
