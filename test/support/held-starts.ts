/**
 * Interceptors for workflows that start the workflows of nodes late. They are part of the bundle, so they run in the
 * workflows' sandbox.
 *
 * The start of a child was requested, with its input, but the server does not know the child until the workflow has
 * received `forcePod` and its signals were delivered or have failed.
 */
import { condition, type WorkflowInterceptors } from '@temporalio/workflow';

/** @see WorkflowInterceptorsFactory of the SDK */
export function interceptors(): WorkflowInterceptors {
  let isReceived = false;
  let pendingSignals = 0;
  return {
    inbound: [
      {
        handleSignal: async (input, next) => {
          await next(input);
          isReceived ||= input.signalName === 'forcePod';
        },
      },
    ],
    outbound: [
      {
        startChildWorkflowExecution: async (input, next) => {
          await condition(() => isReceived && pendingSignals === 0);
          return next(input);
        },
        signalWorkflow: async (input, next) => {
          pendingSignals++;
          try {
            await next(input);
          } finally {
            pendingSignals--;
          }
        },
      },
    ],
  };
}
