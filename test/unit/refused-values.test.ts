import { parseRequest } from '../../model/parse-request.ts';
import { refusedConfig } from '../../model/refused-values.ts';

/** Returns the problems of a request with these values. */
function problems(values: Record<string, unknown>): string[] {
  const parsed = parseRequest({ cluster: 'prod', values });
  return 'problems' in parsed ? parsed.problems : [];
}

it.each([
  [{ agent: false }, 'agent'],
  [{ operator: { enabled: false } }, 'operator.enabled'],
  [{ namespaceOverride: 'cilium' }, 'namespaceOverride'],
  [{ cni: { install: false } }, 'cni.install'],
  [{ cni: { confPath: '/opt/net.d' } }, 'cni.confPath'],
  [{ cni: { binPath: '/usr/lib/cni' } }, 'cni.binPath'],
  [{ cni: { configMap: 'mine' } }, 'cni.configMap'],
  [{ cni: { chainingMode: 'portmap' } }, 'cni.chainingMode'],
  [{ cni: { chainingTarget: 'k8s-pod-network' } }, 'cni.chainingTarget'],
  [{ encryption: { enabled: true, type: 'wireguard' } }, 'encryption.enabled'],
  [{ hostFirewall: { enabled: true } }, 'hostFirewall.enabled'],
  [{ ipv4: { enabled: false } }, 'ipv4.enabled'],
  [{ ipv6: { enabled: true } }, 'ipv6.enabled'],
  [{ enableIPv4Masquerade: false }, 'enableIPv4Masquerade'],
  [{ bpf: { masquerade: true } }, 'bpf.masquerade'],
  [{ disableEndpointCRD: true }, 'disableEndpointCRD'],
  [{ operator: { endpointGCInterval: '0s' } }, 'operator.endpointGCInterval'],
  [{ operator: { endpointGCInterval: 0 } }, 'operator.endpointGCInterval'],
  [{ cleanState: true }, 'cleanState'],
  [{ cleanBpfState: true }, 'cleanBpfState'],
  [{ k8sNetworkPolicy: { enabled: false } }, 'k8sNetworkPolicy.enabled'],
  [{ extraConfig: { 'enable-wireguard': true } }, 'extraConfig.enable-wireguard'],
  [{ extraConfig: { 'enable-cilium-network-policy': 'false' } }, 'extraConfig.enable-cilium-network-policy'],
])('refuses %j when it is given, with one reason', (values, path) => {
  const found = problems(values);

  expect(found).toHaveLength(1);
  expect(found[0]).toMatch(new RegExp(`^values\\.${path.replaceAll('.', '\\.')}: is refused: \\w.{20,}`));
});

it.each([
  [{ extraArgs: ['--debug', '--enable-wireguard'] }, 'values.extraArgs: --enable-wireguard=true is refused'],
  [
    { operator: { extraArgs: ['--cilium-endpoint-gc-interval=0'] } },
    'values.operator.extraArgs: --cilium-endpoint-gc-interval=0 is refused',
  ],
])('refuses arguments that set such a value: %j', (values, words) => {
  expect(problems(values)).toEqual([expect.stringContaining(words)]);
});

it.each([
  [{}],
  [{ cni: { exclusive: false } }],
  [{ cni: { confPath: '/etc/cni/net.d', binPath: '/opt/cni/bin', chainingMode: 'none', configMap: '' } }],
  [{ encryption: { enabled: false }, ipv6: { enabled: false }, enableIPv4Masquerade: true }],
  [{ operator: { endpointGCInterval: '10m0s' } }],
  [{ extraArgs: ['--enable-wireguard=false'], extraConfig: { 'enable-host-firewall': 'false' } }],
  [{ encryption: 'none', operator: { extraArgs: {} } }],
])('accepts %j', (values) => {
  expect(problems(values)).toEqual([]);
});

it('names every problem of a request', () => {
  expect(problems({ tunnelPort: 1, agent: false, ipv6: { enabled: true } })).toHaveLength(3);
});

it('finds keys of a rendered configuration that contradict the migration', () => {
  const config = { 'enable-ipv4': 'true', 'enable-ipsec': 'true', 'cilium-endpoint-gc-interval': '5m0s' };

  expect(refusedConfig(config)).toEqual([expect.stringMatching(/^enable-ipsec is "true": \w/)]);
});
