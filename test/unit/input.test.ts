import { parseFleet } from '../../model/fleet-input.ts';
import { parseInput } from '../../model/input.ts';

function problems(raw: unknown): string[] {
  const parsed = parseInput(raw);
  return 'problems' in parsed ? parsed.problems : [];
}

it('fills in every default', () => {
  expect(parseInput({ cluster: 'prod' })).toEqual({
    input: {
      apiVersion: 'cni-migration/v1',
      cluster: 'prod',
      chart: 'oci://quay.io/cilium/charts/cilium',
      chartVersion: '1.20.2',
      values: {},
      podCidr: '10.245.0.0/16',
      nodeMaskSize: 24,
      tunnelPort: 8473,
      approval: 'every-node',
      cleanup: 'approve',
      reminderSeconds: 86_400,
      onFailure: 'wait',
      waves: { maxConcurrency: 1, soakSeconds: 0 },
      windows: [],
      reboot: { mode: 'none', timeoutSeconds: 604_800 },
      drain: { mode: 'evict', timeoutSeconds: 900, deleteEmptyDirData: false, evictUnmanagedPods: false },
      waivers: [],
      nodeInspection: true,
      coexistenceImage: 'localhost/cni-live-migration/coexistence:1',
      policyMode: 'enforce',
      dryRun: false,
      ledger: { samplesPerSecond: 20, baselineSeconds: 30, afterSeconds: 30, outside: [] },
      gates: { toleranceMs: 5_000, paths: {}, prometheus: [], http: [] },
      proberImage: 'localhost/cni-live-migration/prober:1',
    },
  });
});

it.each([
  ['nothing', undefined, 'the input'],
  ['null', null, 'the input'],
  ['text', 'prod', 'the input'],
  ['a list', [{ cluster: 'prod' }], 'the input'],
  ['no cluster', {}, 'cluster'],
  ['an empty cluster', { cluster: '' }, 'cluster'],
  ['a cluster that is an option', { cluster: '--kubeconfig' }, 'cluster'],
  ['a cluster with a shell in it', { cluster: 'a;rm -rf /' }, 'cluster'],
  ['a misspelt field', { cluster: 'prod', podCIDR: '10.245.0.0/16' }, 'the input'],
  ['a CIDR without a mask', { cluster: 'prod', podCidr: '10.245.0.0' }, 'podCidr'],
  ['an IPv6 CIDR', { cluster: 'prod', podCidr: 'fd00::/8' }, 'podCidr'],
  ['a port as text', { cluster: 'prod', tunnelPort: '8473' }, 'tunnelPort'],
  ['a port beyond the last', { cluster: 'prod', tunnelPort: 65_536 }, 'tunnelPort'],
  ['an unknown approval', { cluster: 'prod', approval: 'maybe' }, 'approval'],
  ['a relative chart', { cluster: 'prod', chart: '../chart' }, 'chart'],
  ['a chart that is an option', { cluster: 'prod', chart: '--post-renderer' }, 'chart'],
  ['a drain without time', { cluster: 'prod', drain: { timeoutSeconds: 0 } }, 'drain.timeoutSeconds'],
  [
    'a consent that is no pattern',
    { cluster: 'prod', drain: { evictUnmanagedPods: ['*'] } },
    'drain.evictUnmanagedPods.0',
  ],
  ['waves of nothing', { cluster: 'prod', waves: { maxConcurrency: 0 } }, 'waves.maxConcurrency'],
  ['a window without an end', { cluster: 'prod', windows: [{ start: '22:00' }] }, 'windows.0.end'],
  ['a window at no time', { cluster: 'prod', windows: [{ start: '24:00', end: '05:00' }] }, 'windows.0.start'],
  ['a hook without a queue', { cluster: 'prod', reboot: { mode: 'hook' } }, 'reboot.taskQueue'],
  ['an unknown drain option', { cluster: 'prod', drain: { force: true } }, 'drain'],
])('refuses %s, and names the field', (_, raw, where) => {
  const found = problems(raw);
  expect(found).not.toEqual([]);
  expect(found.join('\n')).toContain(`${where}: `);
});

it.each([
  [{ cleanUp: 'automatic' }, 'the input: Unrecognized key: "cleanUp"'],
  [{ nodePods: false }, 'the input: Unrecognized key: "nodePods"'],
  [{ waves: { size: 2 } }, 'waves: Unrecognized key: "size"'],
  [{ waves: { canary: 'node-1' } }, 'waves: Unrecognized key: "canary"'],
  [{ onFailure: 'roll-back' }, 'onFailure: '],
])('refuses the former term in %j', (fields, problem) => {
  expect(problems({ cluster: 'prod', ...fields }).join('\n')).toContain(problem);
});

it.each([
  [{ canaries: 1 }, 'the input: Unrecognized key: "canaries"'],
  [{ concurrency: 2 }, 'the input: Unrecognized key: "concurrency"'],
  [{ approval: 'canaries' }, 'approval: '],
])('refuses the former term of a fleet in %j', (fields, problem) => {
  const parsed = parseFleet({ fleet: 'eu', clusters: [{ cluster: 'prod' }], ...fields });

  expect('problems' in parsed ? parsed.problems.join('\n') : '').toContain(problem);
});
