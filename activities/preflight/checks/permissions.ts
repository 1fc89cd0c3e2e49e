import { summarizeList } from '../../../model/summarize.ts';
import { missingPermissions } from '../../permissions.ts';
import { unlessEmpty, type PreflightCheck } from '../check.ts';

/** Checks that the worker has all the permissions that it needs. */
export const permissions: PreflightCheck = {
  ensures: 'The worker has every right that the migration needs, to its last step: the API server is asked about each.',
  verdicts: 'Blocks for each right that is missing.',
  fix: 'Give the worker’s user or service account these rights.',
  rationale: 'A right that is missing would be found in the middle, with nodes cordoned.',
  run: async ({ connection }) => {
    const { checked, missing } = await missingPermissions(connection);
    return unlessEmpty(
      'block',
      missing.length > 0 ? [`missing: ${summarizeList(missing, 20)}`] : [],
      `all ${checked} rights are there`
    );
  },
};
