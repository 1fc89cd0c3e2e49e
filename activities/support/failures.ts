import { ApplicationFailure } from '@temporalio/common';
import type { FailureType } from '../../model/failure-types.ts';

/** Options of {@link failure}. */
interface FailureOptions {
  /**
   * True when a retry can help.
   * @default false
   */
  retryable?: boolean;
  cause?: unknown;
}

/** Creates a failure of one of the known types. Failures are permanent unless `retryable` is set. */
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
