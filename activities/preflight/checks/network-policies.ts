import { block, pass, warn, worst, type PreflightCheck } from '../check.ts';
import { few, keyOf } from '../cluster-reader.ts';

const calico = 'crd.projectcalico.org/v1';

/** Kinds of Calico whose objects decide about traffic. */
const ownKinds = ['NetworkPolicy', 'GlobalNetworkPolicy', 'StagedNetworkPolicy', 'StagedGlobalNetworkPolicy'];
const setKinds = ['NetworkSet', 'GlobalNetworkSet'];

/** Which policies there are, and whether they go on after the migration. */
export const networkPolicies: PreflightCheck = {
  ensures: 'Every policy is one that Cilium enforces too: Kubernetes’ NetworkPolicy, and none of Calico’s own kinds.',
  verdicts:
    'Blocks for policies of Calico’s own kinds, which nothing enforces after the clean-up; warns for NetworkPolicies, which are not enforced on migrated nodes until the cut-over.',
  fix: 'Write Calico’s policies as NetworkPolicy or as Cilium’s own and remove them, or waive this check. They are exported before Canal is removed.',
  why: 'Cilium does not read Calico’s objects, and their order has no equal there).',
  run: async ({ list }) => {
    const own: string[] = [];
    for (const kind of [...ownKinds, ...setKinds]) {
      // Calico keeps Kubernetes' policies as its own under this prefix in some datastores; they are no policies of a user.
      const objects = (await list(calico, kind)).filter(
        ({ metadata }) => metadata?.name?.startsWith('knp.default.') !== true
      );
      if (objects.length > 0) own.push(`${objects.length} ${kind}: ${few(objects.map(keyOf), 5)}`);
    }
    const plain = (await list('networking.k8s.io/v1', 'NetworkPolicy')).filter(
      ({ metadata }) => metadata?.namespace !== 'cni-live-migration'
    );
    return worst(
      own.length > 0 ? block(...own) : pass('no policies of Calico’s own kinds'),
      plain.length > 0
        ? warn(
            `${plain.length} NetworkPolicies are not enforced on migrated nodes until the cut-over: ${few(plain.map(keyOf), 5)}`
          )
        : pass('no NetworkPolicies')
    );
  },
};
