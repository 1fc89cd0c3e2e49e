import { ApplicationFailure } from '@temporalio/workflow';
import { withPolicies } from '../../model/gates.ts';
import { operatorFailure } from '../support/operator-failure.ts';
import type { Migration } from './migration.ts';

/** Longest time that {@link checkRecentGates} evaluates, in ms: losses add up, and what is older no longer counts. */
const recentMs = 300_000;

/** Shortest time that is worth an evaluation, in ms: the gate of a node has just evaluated what was before. */
const minUnjudgedMs = 10_000;

/**
 * Evaluates the gates for the last minutes before a step that disturbs the cluster, as far as no gate has evaluated them. A
 * breach pauses the migration.
 * @param next the step.
 * @returns false when the migration is paused, so that the caller must look again first.
 */
export async function checkRecentGates(migration: Migration, next: string): Promise<boolean> {
  const { unjudgedSinceMs } = migration.state;
  const isLong = unjudgedSinceMs !== undefined && Date.now() - unjudgedSinceMs >= minUnjudgedMs;
  return !isLong || checkUnjudgedGates(migration, `the wait for ${next}`);
}

/**
 * Evaluates the gates for the time that no gate has evaluated. A breach pauses the migration. The next evaluation starts then.
 * @param what what has happened in that time.
 * @returns false when the migration is paused, so that the caller must look again first.
 */
export async function checkUnjudgedGates(migration: Migration, what: string): Promise<boolean> {
  const { state, status } = migration;
  const nowMs = Date.now();
  await checkGates(migration, what, Math.max(state.unjudgedSinceMs ?? 0, nowMs - recentMs));
  state.unjudgedSinceMs = nowMs;
  return status.paused === undefined;
}

/**
 * Evaluates the gates for the whole cluster since a time (Unix ms). A breach pauses the migration; with `onFailure: stop`
 * it ends the migration.
 */
export async function checkGates(migration: Migration, what: string, sinceMs: number): Promise<void> {
  const { input, cluster } = migration;
  const gates = withPolicies(input.gates, input.policyMode === 'enforce');
  try {
    await migration.run('checkGates', `check gates after ${what}`, { cluster, gates, sinceMs });
  } catch (error) {
    const failed = operatorFailure(error);
    const isBreach = failed instanceof ApplicationFailure && failed.type === 'GateBreached';
    if (!isBreach || input.onFailure === 'stop') throw error;
    migration.pauseFor(`after ${what}: ${failed.message}`);
  }
}
