import type { CalicoPolicy } from '../../activities/policy/calico.ts';
import { comparePolicies } from '../../activities/policy/compare.ts';
import type { NetworkPolicy } from '../../activities/policy/kubernetes.ts';
import {
  controlPolicies,
  groups,
  matrixChecks,
  matrixNamespaces,
  namedPorts,
  shapes,
} from '../support/policy-shapes.ts';

const networks = { podCidrs: ['10.244.0.0/16', '10.245.0.0/16'] as const, world: '10.99.1.1' };
const all = shapes(networks);
const isCalico = (policy: NetworkPolicy | CalicoPolicy): policy is CalicoPolicy =>
  policy.apiVersion === 'crd.projectcalico.org/v1';

it('has at least sixty shapes, each of which lets somebody in and somebody not, but for those of all or nobody', () => {
  expect(all.length).toBeGreaterThanOrEqual(60);
  const checks = matrixChecks(all, networks);
  const oneSided = all
    .map(({ name }) => name)
    .filter((name) => new Set(checks.filter((one) => one.name === name).map((one) => one.allowedOther)).size === 1);
  for (const name of oneSided)
    expect(name).toMatch(
      /anybody|nobody|everything|outside|all pods|deny|addresses|account|protocol|all of the|namespace Exists|egress: a (range|named)/
    );
});

it('is judged the same by both networks, as specified', () => {
  const policies = [...controlPolicies, ...all.flatMap(({ policies: own }) => own)];
  const started = Date.now();
  const { verdicts, flows } = comparePolicies(
    {
      own: policies.filter(isCalico),
      kubernetes: policies.filter((policy): policy is NetworkPolicy => !isCalico(policy)),
      sets: [],
    },
    {
      podCidrs: networks.podCidrs,
      nodeAddresses: ['10.99.1.11', '10.99.1.12', '10.99.1.13'],
      namespaces: [...Object.entries(matrixNamespaces).map(([name, labels]) => ({ name, labels }))],
      serviceAccounts: [],
      pods: groups.map(({ namespace, labels }) => ({
        namespace,
        labels,
        serviceAccount: 'default',
        ports: namedPorts,
      })),
    },
    true
  );
  if (process.env['VERBOSE']) console.log(flows, Date.now() - started);
  expect(verdicts.filter(({ verdict }) => verdict === 'different')).toEqual([]);
});
