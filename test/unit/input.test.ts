import { parseInput } from '../../workflows/model/input.ts';

function problems(raw: unknown): string[] {
  const parsed = parseInput(raw);
  return 'problems' in parsed ? parsed.problems : [];
}

it('fills in every default', () => {
  expect(parseInput({ cluster: 'prod' })).toEqual({
    input: {
      cluster: 'prod',
      chart: 'oci://quay.io/cilium/charts/cilium',
      chartVersion: '1.20.2',
      values: {},
      podCidr: '10.245.0.0/16',
      nodeMaskSize: 24,
      tunnelPort: 8473,
      approval: 'every-node',
      drain: { timeoutSeconds: 900, deleteEmptyDirData: false, evictUnmanagedPods: false },
      proberImage: 'cni-live-migration/prober:1',
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
  ['an unknown drain option', { cluster: 'prod', drain: { force: true } }, 'drain'],
])('refuses %s, and says where', (_, raw, where) => {
  const found = problems(raw);
  expect(found).not.toEqual([]);
  expect(found.join('\n')).toContain(`${where}: `);
});
