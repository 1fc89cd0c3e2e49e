import { coexistenceValues, conflictingValues, finalValues } from '../../workflows/model/helm-values.ts';
import { parseInput, type MigrationInput } from '../../workflows/model/input.ts';

function input(values: Record<string, unknown>): MigrationInput {
  const parsed = parseInput({ cluster: 'prod', values, podCidr: '10.50.0.0/16', tunnelPort: 9000 });
  if ('problems' in parsed) throw new Error(parsed.problems.join());
  return parsed.input;
}

it("adds the migration's values to the operator's, at every depth", () => {
  expect(coexistenceValues(input({ operator: { replicas: 2 }, debug: { enabled: true } }))).toMatchObject({
    tunnelPort: 9000,
    cni: { customConf: true },
    policyEnforcementMode: 'never',
    ipam: { operator: { clusterPoolIPv4PodCIDRList: ['10.50.0.0/16'] } },
    operator: { replicas: 2, setNodeTaints: false, unmanagedPodWatcher: { restart: false } },
    debug: { enabled: true },
  });
});

it('ends with Cilium owning the CNI and enforcing policy, and changes nothing else', () => {
  const [before, after] = [coexistenceValues(input({})), finalValues(input({}))];
  expect(after).toEqual({
    ...before,
    cni: { customConf: false, uninstall: false },
    policyEnforcementMode: 'default',
    operator: { setNodeTaints: true, unmanagedPodWatcher: { restart: true } },
  });
});

it.each([
  [{}, []],
  [{ cni: { customConf: true } }, []],
  [{ cni: { chainingMode: 'portmap' } }, []],
  [{ cni: { customConf: false } }, ['cni.customConf']],
  [{ tunnelPort: 1, operator: { setNodeTaints: true } }, ['tunnelPort', 'operator.setNodeTaints']],
  [{ operator: 'none' }, ['operator']],
])('finds in %j what contradicts the migration', (values, expected) => {
  expect(conflictingValues(input(values))).toEqual(expected);
});
