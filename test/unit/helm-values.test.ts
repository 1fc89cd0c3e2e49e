import {
  coexistenceValues,
  conflictingValues,
  cutoverValues,
  expectedConfig,
  expectedCutoverConfig,
  finalValues,
  flippedNodeConfig,
} from '../../model/helm-values.ts';
import { parseInput, type MigrationInput } from '../../model/input.ts';

function input(values: Record<string, unknown>): MigrationInput {
  const parsed = parseInput({ cluster: 'prod', values, podCidr: '10.50.0.0/16', tunnelPort: 9000 });
  if ('problems' in parsed) throw new Error(parsed.problems.join());
  return parsed.input;
}

it("adds the migration's values to the operator's, at every depth", () => {
  expect(coexistenceValues(input({ operator: { replicas: 2 }, debug: { enabled: true } }))).toMatchObject({
    tunnelPort: 9000,
    cni: { customConf: true },
    policyEnforcementMode: 'default',
    policyCIDRMatchMode: ['nodes'],
    ipam: { operator: { clusterPoolIPv4PodCIDRList: ['10.50.0.0/16'] } },
    operator: { replicas: 2, setNodeTaints: false, unmanagedPodWatcher: { restart: false } },
    debug: { enabled: true },
  });
});

it('ends with Cilium owning the CNI and enforcing policy, and changes nothing else', () => {
  const [before, after] = [coexistenceValues(input({})), finalValues(input({}))];
  const ownership = {
    cni: { customConf: false, uninstall: false, readCniConf: '/cni-chain/05-cilium.conflist' },
    extraConfig: { 'enable-stale-cilium-endpoint-cleanup': 'true', 'prepend-iptables-chains': 'true' },
    operator: { setNodeTaints: true, unmanagedPodWatcher: { restart: true } },
    devices: ['!flannel+', '!cali+', '!veth+'],
    forceDeviceDetection: true,
  };
  // The agents' template is the same in all three, so that only the migration replaces agents.
  expect(cutoverValues(input({}))).toEqual({ ...before, ...ownership });
  const updateStrategy = { type: 'RollingUpdate', rollingUpdate: { maxUnavailable: 1 } };
  expect(after).toEqual({ ...before, ...ownership, updateStrategy });
});

it.each([
  [{}, true],
  [{ devices: '' }, true],
  [{ devices: 'eth0' }, false],
  [{ devices: ['eth+', 'bond0'] }, false],
])(
  "lets agents ignore Canal's devices after the cutover, unless the operator configures devices: %j",
  (values, ours) => {
    const given = input(values);
    expect(coexistenceValues(given)['devices']).toEqual(given.values['devices']);
    const devices = ours ? ['!flannel+', '!cali+', '!veth+'] : given.values['devices'];
    expect(finalValues(given)['devices']).toEqual(devices);
    expect(expectedCutoverConfig(given)['force-device-detection']).toBe(ours ? 'true' : undefined);
  }
);

it.each([
  [{}, 'true'],
  [{ cni: { exclusive: true } }, 'true'],
  [{ cni: { exclusive: false } }, 'false'],
])('keeps or renames CNI files of other programs from the first flip to the end, as %j says', (values, exclusive) => {
  const given = input(values);

  expect(coexistenceValues(given)).toMatchObject({ extraConfig: { 'cni-exclusive': exclusive } });
  expect(expectedConfig(given)['cni-exclusive']).toBe(exclusive);
  // Flipped nodes take the key from cilium-config.
  expect(flippedNodeConfig['cni-exclusive']).toBeUndefined();
  expect(finalValues(given)['extraConfig']).not.toHaveProperty('cni-exclusive');
  expect(finalValues(given)).toMatchObject(values);
  expect(expectedCutoverConfig(given)['cni-exclusive']).toBe(exclusive);
});

it("mounts its CNI file in addition to the operator's volumes", () => {
  const values = coexistenceValues(input({ extraVolumes: [{ name: 'theirs', emptyDir: {} }] }));
  expect(values['extraVolumes']).toEqual([
    { name: 'theirs', emptyDir: {} },
    { name: 'cni-chain', configMap: { name: 'cilium-cni-chain' } },
  ]);
});

it.each([
  [{}, []],
  [{ cni: { customConf: true } }, []],
  [{ cni: { chainingMode: 'portmap' } }, []],
  [{ extraVolumeMounts: [] }, []],
  [{ updateStrategy: { type: 'RollingUpdate' } }, ['updateStrategy.type']],
  [{ cni: { customConf: false } }, ['cni.customConf']],
  [{ tunnelPort: 1, operator: { setNodeTaints: true } }, ['tunnelPort', 'operator.setNodeTaints']],
  [{ operator: 'none' }, ['operator']],
  [{ policyCIDRMatchMode: [] }, ['policyCIDRMatchMode']],
])('finds in %j what contradicts the migration', (values, expected) => {
  expect(conflictingValues(input(values))).toEqual(expected);
});

it.each([
  ['enforce', { policyEnforcementMode: 'default', policyAuditMode: false }],
  ['audit', { policyEnforcementMode: 'default', policyAuditMode: true }],
  ['off', { policyEnforcementMode: 'never', policyAuditMode: false }],
] as const)('has agents %s policies until the cutover, and enforce them after it', (policyMode, before) => {
  const given = { ...input({}), policyMode };

  expect(coexistenceValues(given)).toMatchObject({ ...before, policyCIDRMatchMode: ['nodes'] });
  expect(cutoverValues(given)).toMatchObject({ policyEnforcementMode: 'default', policyAuditMode: false });
});
