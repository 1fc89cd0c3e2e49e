import { ApplicationFailure } from '@temporalio/common';
import type { FailureType } from '../../model/failure-types.ts';

/** Options of {@link failure}. */
interface FailureOptions {
  /** Whether trying again can help. @default false */
  retryable?: boolean;
  cause?: unknown;
}

/** A failure with one of the known types. Failures are permanent unless said otherwise. */
export function failure(
  type: FailureType,
  message: string,
  { retryable = false, cause }: FailureOptions = {}
): ApplicationFailure {
  return ApplicationFailure.create({
    type,
    message,
    nonRetryable: !retryable,
    ...(cause instanceof Error && { cause }),
  });
}
