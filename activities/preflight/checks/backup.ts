import { block, pass, warn, type PreflightCheck } from '../check.ts';

/** Checks that the input names the location of the backup. */
export const backup: PreflightCheck = {
  ensures:
    'The input says where a backup of the cluster’s state is. What it says is kept in the plan, and not verified.',
  verdicts: 'Blocks when there is none and Canal would be removed without asking anybody; warns when there is none.',
  fix: 'Take a snapshot of etcd, and name it in "backup".',
  rationale:
    'Until the cleanup everything can be rolled back; after it, only from a backup (OpenShift and DB Schenker ask for one).',
  run: ({ input }) => {
    if (input.backup !== undefined) return Promise.resolve(pass(input.backup));
    const text = 'the input names no backup';
    return Promise.resolve(
      input.cleanup === 'automatic' ? block(`${text}, and the cleanup would ask nobody`) : warn(text)
    );
  },
};
