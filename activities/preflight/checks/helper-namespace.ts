import { helperNamespace } from '../../kubernetes/names.ts';
import { findForeign, readNamespaceState } from '../../kubernetes/own-namespace.ts';
import { describeForeignContents, listForeignContents } from '../../helpers/namespace-contents.ts';
import { block, pass, type PreflightCheck } from '../check.ts';

/** Checks that the privileged namespace of the helpers is not under the control of others. */
export const helperNamespaceOwner: PreflightCheck = {
  ensures:
    'The namespace cni-live-migration does not exist, or this service or an administrator created it, which the ConfigMap kube-system/cni-live-migration-namespace records by its UID. It contains no role binding and no pod of others.',
  verdicts:
    'Blocks when someone else created the namespace, and for each role binding and pod in it that is not of this service. A waiver does not let anything run in such a namespace.',
  fix: 'Delete the namespace or the named objects, or create the namespace as docs/install.md describes.',
  rationale:
    'Privileged pods run in this namespace. A tenant who may create namespaces is often its administrator: with permissions in this one, the tenant controls every node.',
  run: async ({ connection }) => {
    const current = await readNamespaceState(connection);
    const problem = findForeign(current);
    if (problem !== undefined) return block(problem);
    if (current.state !== 'ours') return pass(`namespace ${helperNamespace} does not exist; the worker creates it`);
    const contents = describeForeignContents(await listForeignContents(connection, current.record));
    return contents === undefined ? pass(`namespace ${helperNamespace} is recorded as ours`) : block(contents);
  },
};
