import { InterceptingCall, Metadata, status, type Interceptor } from '@grpc/grpc-js';
import { defaultGrpcRetryOptions, makeGrpcRetryInterceptor } from '@temporalio/client';

/**
 * Ends the requests that begin after their connection was closed, as cancelled.
 *
 * The client library repeats a request from a timer of its own. Without this interceptor, a repetition after the end of
 * the connection throws an error that no caller can catch, and ends the process.
 */
const cancelAfterClose: Interceptor = (options, nextCall) => {
  try {
    return new InterceptingCall(nextCall(options));
  } catch (error) {
    return new InterceptingCall(cancelledCall(error instanceof Error ? error.message : String(error)));
  }
};

/** Interceptors of a connection's requests: the client library's own, which repeats requests, and the end at its close. */
export const requestInterceptors: readonly Interceptor[] = [
  makeGrpcRetryInterceptor(defaultGrpcRetryOptions()),
  cancelAfterClose,
];

/** Returns a call that sends nothing, and whose answer is that it was cancelled. */
function cancelledCall(details: string): ConstructorParameters<typeof InterceptingCall>[0] {
  const ignore = (): void => undefined;
  return {
    start: (_metadata, listener) => {
      // A unary call delivers a message before its status.
      listener?.onReceiveMessage?.(null);
      listener?.onReceiveStatus?.({ code: status.CANCELLED, details, metadata: new Metadata() });
    },
    cancelWithStatus: ignore,
    getPeer: () => '',
    sendMessageWithContext: ignore,
    sendMessage: ignore,
    startRead: ignore,
    halfClose: ignore,
    getAuthContext: () => null,
  };
}
