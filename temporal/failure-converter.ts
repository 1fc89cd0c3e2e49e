import { DefaultFailureConverter } from '@temporalio/common';

/** Puts messages and stack traces of failures into payloads, so that a codec encrypts them too. The SDK looks for this name. */
export const failureConverter = new DefaultFailureConverter({ encodeCommonAttributes: true });
