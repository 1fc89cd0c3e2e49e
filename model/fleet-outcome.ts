import { ApplicationFailure, CancelledFailure, TerminatedFailure, TimeoutFailure } from '@temporalio/common';
import { z } from 'zod';
import type { FailureType } from './failure-types.ts';

/** A cluster's migration: its workflow ID, and the ID of its first run. */
export interface MigrationRun {
  workflowId: string;
  runId: string;
}

/** Outcome of a cluster's migration, for its fleet. */
export type MigrationOutcome =
  | { state: 'open' }
  | { state: 'migrated' | 'rolled-back' }
  | { state: 'failed'; failure: { type: string; message: string } }
  /** The outcome cannot be read at the moment. */
  | { state: 'unknown'; problem: string };

/** Maximum length of a failure's message in the status of a fleet, in characters. */
const maxMessage = 2_000;

/** Part of the result of a migration that the fleet needs. */
const resultSchema = z.looseObject({ phase: z.string() });

/** Returns the outcome of a migration that has completed with this result. */
export function describeResult(result: unknown): MigrationOutcome {
  const parsed = resultSchema.safeParse(result);
  if (!parsed.success) return failed('unknown', `the result of the migration cannot be read; ${retryAdvice}`);
  return { state: parsed.data.phase === 'rolled-back' ? 'rolled-back' : 'migrated' };
}

/**
 * Returns the outcome of a migration that has ended with this error: the failure that an operator should see, which is
 * the innermost one that says why.
 */
export function describeFailure(error: unknown, { workflowId }: Pick<MigrationRun, 'workflowId'>): MigrationOutcome {
  for (let current = error; current instanceof Error; current = current.cause) {
    if (current instanceof CancelledFailure) return failed('Aborted', 'the migration was cancelled');
    if (current instanceof ApplicationFailure) return failed(current.type ?? 'unknown', current.message);
    if (current instanceof TerminatedFailure)
      return failed('MigrationTerminated', `the workflow ${workflowId} was terminated; ${retryAdvice}`);
    if (current instanceof TimeoutFailure)
      return failed('MigrationTerminated', `the workflow ${workflowId} exceeded its time limit; ${retryAdvice}`);
  }
  return failed('unknown', error instanceof Error ? error.message : String(error));
}

/** Returns the outcome of a migration that Temporal no longer knows. */
export function describeMissing({ workflowId, runId }: MigrationRun): MigrationOutcome {
  const message = `Temporal does not know the run ${runId} of the workflow ${workflowId} any more; ${retryAdvice}`;
  return failed('MigrationTerminated', message);
}

const retryAdvice = 'retry the cluster: its migration continues from the state of the cluster';

function failed(type: FailureType | (string & {}), message: string): MigrationOutcome {
  return { state: 'failed', failure: { type, message: message.slice(0, maxMessage) } };
}
