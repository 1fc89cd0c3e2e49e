import { summarizeList } from '../../../model/summarize.ts';
import { missingPermissions } from '../../permissions.ts';
import { unlessEmpty, type PreflightCheck } from '../check.ts';

/** Checks that the worker has all the permissions that it needs. */
export const permissions: PreflightCheck = {
  ensures:
    'The worker has every permission that the migration needs, to its last step. The API server reviews each of them.',
  verdicts: 'Blocks for each missing permission.',
  fix: 'Grant these permissions to the user or service account of the worker (deploy/rbac/worker.yaml).',
  rationale: 'A missing permission would stop the migration midway, with nodes cordoned.',
  run: async ({ connection }) => {
    const { checked, missing } = await missingPermissions(connection);
    return unlessEmpty(
      'block',
      missing.length > 0 ? [`missing: ${summarizeList(missing, 20)}`] : [],
      `the worker has all ${checked} permissions`
    );
  },
};
