import { block, pass, warn, type PreflightCheck } from '../check.ts';

/** Checks that the input names the location of the backup. */
export const backup: PreflightCheck = {
  ensures: 'The input names a backup of the state of the cluster. The plan shows it; nothing verifies it.',
  verdicts: 'Warns when the input names none; blocks when the cleanup is automatic as well.',
  fix: 'Take a snapshot of etcd, and name it in "backup".',
  rationale:
    'Until the cleanup, all nodes can be rolled back; after it, only a backup helps (OpenShift and DB Schenker require one).',
  run: ({ input }) => {
    if (input.backup !== undefined) return Promise.resolve(pass(input.backup));
    const text = 'the input names no backup';
    return Promise.resolve(
      input.cleanup === 'automatic' ? block(`${text}, and the cleanup needs no approval`) : warn(text)
    );
  },
};
