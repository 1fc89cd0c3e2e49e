import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { createRequestActivities } from '../../activities/plan/resolve-request.ts';
import { gateHostsOf, isLocalAddress } from '../../activities/probe/gates/gate-address.ts';
import { clusterPolicySchema, type ClusterPolicy } from '../../model/cluster-policy.ts';
import { readSettingsFile } from '../../worker/settings-file.ts';

/** The policy of a cluster in the worker's file, which no input overrides. */
const chartDigest = `sha256:${'0'.repeat(64)}`;
const resolve = (policy: ClusterPolicy, more: object = {}) =>
  createRequestActivities(undefined, (cluster) => (cluster === 'prod' ? policy : {})).resolveRequest({
    request: { cluster: 'prod', ...more },
  });
const gates = (url: string) => ({ gates: { http: [{ url }] } });

it.each<[what: string, policy: ClusterPolicy, input: object, message: string]>([
  [
    'another chart',
    { chartDigests: [`sha256:${'1'.repeat(64)}`] },
    { chartDigest },
    `chartDigest: policy.chartDigests of the cluster "prod" in the worker's file does not contain ${chartDigest}`,
  ],
  [
    'a mode of approval that is less strict',
    { minimumApproval: 'every-wave' },
    { approval: 'canary-only' },
    'approval: policy.minimumApproval of the cluster "prod" in the worker\'s file requires every-wave or every-node, not canary-only',
  ],
  [
    'no approval where the plan needs one',
    { requirePlanDigest: true },
    { approval: 'none' },
    'policy.requirePlanDigest',
  ],
  [
    'a waiver of another check',
    { waivableChecks: ['mtu'] },
    { waivers: [{ check: 'kernel', reason: 'x' }] },
    'waivers.0.check: policy.waivableChecks of the cluster "prod" in the worker\'s file allows mtu, not kernel',
  ],
  [
    'a gate at another host',
    { gateHosts: ['prometheus.example.com'] },
    gates('https://evil.example/'),
    'gates.http.0.url: policy.gateHosts of the cluster "prod" in the worker\'s file allows prometheus.example.com, not evil.example',
  ],
  ['a gate at a loopback address', {}, gates('http://127.1/'), '127.0.0.1 is a loopback or link-local address'],
  ['a gate at a link-local address', {}, gates('http://169.254.169.254/latest'), 'policy.gateHosts'],
])('refuses %s, and names the line of the policy', async (_, policy, input, message) => {
  await expect(resolve(policy, input)).rejects.toMatchObject({
    type: 'InvalidInput',
    nonRetryable: true,
    message: expect.stringContaining(message) as string,
  });
});

it.each<[what: string, policy: ClusterPolicy, input: object]>([
  ['a chart of the list', { chartDigests: [chartDigest] }, { chartDigest }],
  ['a stricter mode of approval', { minimumApproval: 'canary-only' }, { approval: 'every-node' }],
  ['a dry run without approvals', { minimumApproval: 'every-node' }, { approval: 'none', dryRun: true }],
  ['a waiver of a check of the list', { waivableChecks: ['mtu'] }, { waivers: [{ check: 'mtu', reason: 'x' }] }],
  ['a gate at a listed loopback address', { gateHosts: ['[::1]'] }, gates('http://[::1]:9090/')],
  ['all of it for another cluster', { gateHosts: [] }, { cluster: 'staging', ...gates('https://any.example/') }],
])('accepts %s', async (_, policy, input) => {
  expect(await resolve(policy, input)).toHaveProperty('input');
});

it('records in the resolved request that an approval must name the digest of the plan', async () => {
  expect(await resolve({ requirePlanDigest: true })).toMatchObject({ requiresPlanDigest: true });
  expect(await resolve({})).not.toHaveProperty('requiresPlanDigest');
});

describe('addresses of gates', () => {
  it.each([
    '127.0.0.1',
    '127.9.9.9',
    '0.0.0.0',
    '169.254.1.1',
    '::1',
    '::',
    'fe80::1',
    'fe80::1%eth0',
    '::ffff:127.0.0.1',
  ])('%s is local', (address) => expect(isLocalAddress(address)).toBe(true));
  it.each(['10.0.0.1', '192.0.2.1', '2001:db8::1', '169.253.1.1', '::ffff:10.0.0.1'])('%s is not local', (address) =>
    expect(isLocalAddress(address)).toBe(false)
  );

  const lookUp = (policy: ClusterPolicy, host: string): Promise<string> =>
    new Promise((resolve) => {
      const { lookup } = gateHostsOf(() => policy, 'prod');
      lookup(host, {}, (error, address) =>
        resolve(typeof address === 'string' && error === null ? address : (error?.message ?? ''))
      );
    });

  it('a name with a local address is refused when it is resolved, unless it is listed', async () => {
    expect(await lookUp({}, 'localhost')).toMatch(/localhost \(.*\) is a loopback or link-local address/);
    expect(isLocalAddress(await lookUp({ gateHosts: ['localhost'] }, 'localhost'))).toBe(true);
  });
});

describe("the worker's file", () => {
  let dir: string;
  beforeAll(async () => {
    dir = await mkdtemp(path.join(tmpdir(), 'cni-policy-'));
  });
  afterAll(() => rm(dir, { recursive: true }));
  const read = async (policy: string) => {
    const file = path.join(dir, 'worker.yaml');
    await writeFile(file, `clusters:\n  prod: { kubeconfig: k, policy: ${policy} }\n  staging: { kubeconfig: k }\n`);
    return readSettingsFile(file);
  };

  it('has a policy for each cluster', async () => {
    const { policyOf } = await read(
      '{ requirePlanDigest: true, minimumApproval: every-wave, gateHosts: [Prom.Example] }'
    );

    expect(policyOf('prod')).toEqual({
      requirePlanDigest: true,
      minimumApproval: 'every-wave',
      gateHosts: ['prom.example'],
    });
    expect([policyOf('staging'), policyOf('__proto__')]).toEqual([{}, {}]);
  });

  it.each([
    '{ minimumApproval: all }',
    '{ waivableChecks: [nothing] }',
    '{ chartDigests: [1.20.2] }',
    '{ gateHost: [] }',
  ])('is refused with the policy %s', async (policy) => {
    await expect(read(policy)).rejects.toThrow(/worker.yaml: clusters/);
  });

  it.each(['prometheus:9090', 'http://x', 'a/b', ''])('does not accept %j as a host', (host) => {
    expect(clusterPolicySchema.safeParse({ gateHosts: [host] }).success).toBe(false);
  });
});
