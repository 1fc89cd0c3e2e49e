import { ApplicationFailure } from '@temporalio/workflow';
import { withPolicies } from '../../model/gates.ts';
import { operatorFailure } from '../support/operator-failure.ts';
import type { Migration } from './migration.ts';

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
