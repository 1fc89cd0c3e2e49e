import { DefaultFailureConverter } from '@temporalio/common';

/**
 * Puts the messages and stack traces of failures into payloads, so that a codec encrypts them. The SDK requires this
 * name.
 */
export const failureConverter = new DefaultFailureConverter({ encodeCommonAttributes: true });
