import { isObject, type HelmValues, type Json } from './helm-values.ts';

/** A setting of Cilium that contradicts the migration. */
interface RefusedSetting {
  /** Path of the Helm value. */
  path: string;
  /**
   * Keys of `cilium-config` that the chart renders from the value.
   * @default none: the value only changes manifests
   */
  keys?: readonly string[];
  /** Returns true for a value that contradicts the migration, as text. */
  isRefused: (value: string) => boolean;
  /** Reason why it contradicts the migration, and what to do instead. */
  reason: string;
}

const isTrue = (value: string): boolean => value === 'true';
const isFalse = (value: string): boolean => value === 'false';
const isNot =
  (...allowed: readonly string[]) =>
  (value: string): boolean =>
    !allowed.includes(value);

const afterwards = 'enable it after the migration';

/** All refused settings. Values that the migration sets itself are not listed: `conflictingValues` finds these. */
const refusedSettings: readonly RefusedSetting[] = [
  {
    path: 'agent',
    isRefused: isFalse,
    reason: 'without agents no node can be migrated',
  },
  {
    path: 'operator.enabled',
    isRefused: isFalse,
    reason: "without the operator, neither CRDs nor the nodes' pod CIDRs are created",
  },
  {
    path: 'namespaceOverride',
    isRefused: isNot(''),
    reason: 'the migration expects Cilium in kube-system',
  },
  {
    path: 'cni.install',
    isRefused: isFalse,
    reason: "agents would install neither Cilium's plugin nor its CNI file, so no node could be flipped",
  },
  {
    path: 'cni.confPath',
    isRefused: isNot('/etc/cni/net.d'),
    reason: 'checks, flip, rollback and cleanup use the CNI files in /etc/cni/net.d',
  },
  {
    path: 'cni.binPath',
    isRefused: isNot('/opt/cni/bin'),
    reason: 'rollback and cleanup use the plugins in /opt/cni/bin',
  },
  {
    path: 'cni.configMap',
    isRefused: isNot(''),
    reason:
      "with a CNI file of your own, agents would write it before their node is flipped; Canal's plugins are chained automatically",
  },
  {
    path: 'cni.chainingMode',
    keys: ['cni-chaining-mode'],
    isRefused: isNot('', 'none'),
    reason:
      "another plugin would create the interfaces of pods; Canal's plugins are chained after Cilium automatically",
  },
  {
    path: 'cni.chainingTarget',
    keys: ['cni-chaining-target'],
    isRefused: isNot(''),
    reason:
      "another plugin would create the interfaces of pods; Canal's plugins are chained after Cilium automatically",
  },
  {
    path: 'encryption.enabled',
    keys: ['enable-ipsec', 'enable-wireguard', 'enable-ztunnel'],
    isRefused: isTrue,
    reason: `encryption was not tested with pods on two networks; ${afterwards}`,
  },
  {
    path: 'hostFirewall.enabled',
    keys: ['enable-host-firewall'],
    isRefused: isTrue,
    reason: `host policies would also apply to Canal's overlay and to its pods, whose traffic nodes forward; ${afterwards}`,
  },
  {
    path: 'ipv4.enabled',
    keys: ['enable-ipv4'],
    isRefused: isFalse,
    reason: "pods on Canal have IPv4 addresses, and the migration's pod CIDR is IPv4",
  },
  {
    path: 'ipv6.enabled',
    keys: ['enable-ipv6'],
    isRefused: isTrue,
    reason: `only IPv4 is migrated: a pod with an IPv6 address cannot reach pods on Canal over it; ${afterwards}`,
  },
  {
    path: 'enableIPv4Masquerade',
    keys: ['enable-ipv4-masquerade'],
    isRefused: isFalse,
    reason:
      'Canal masquerades traffic to addresses outside of the cluster; without masquerading, migrated pods get no answers from there unless the network routes their pod CIDR',
  },
  {
    path: 'bpf.masquerade',
    keys: ['enable-bpf-masquerade'],
    isRefused: isTrue,
    reason: `the NAT exemption between the two pod networks only applies to masquerading by iptables; ${afterwards}`,
  },
  {
    path: 'disableEndpointCRD',
    keys: ['disable-endpoint-crd'],
    isRefused: isTrue,
    reason: 'the identity bridge needs CiliumEndpoints, and the operator would delete all of them when it starts',
  },
  {
    path: 'operator.endpointGCInterval',
    keys: ['cilium-endpoint-gc-interval'],
    // No digit but zero: 0, 0s, 0m0s.
    isRefused: (value) => !/[1-9]/.test(value),
    reason: "the operator would delete all CiliumEndpoints when it starts, the identity bridge's included",
  },
  {
    path: 'cleanState',
    keys: ['clean-cilium-state'],
    isRefused: isTrue,
    reason: 'each start of an agent would disconnect the pods of its node',
  },
  {
    path: 'cleanBpfState',
    keys: ['clean-cilium-bpf-state'],
    isRefused: isTrue,
    reason: 'each start of an agent would disconnect the pods of its node',
  },
  {
    path: 'k8sNetworkPolicy.enabled',
    keys: ['enable-k8s-networkpolicy'],
    isRefused: isFalse,
    reason: 'NetworkPolicies would no longer apply to migrated pods; to ignore them until the cutover, use policyMode',
  },
  {
    path: 'extraConfig.enable-cilium-network-policy',
    keys: ['enable-cilium-network-policy'],
    isRefused: isFalse,
    reason: 'translated Calico policies would not apply',
  },
  {
    path: 'extraConfig.enable-cilium-clusterwide-network-policy',
    keys: ['enable-cilium-clusterwide-network-policy'],
    isRefused: isFalse,
    reason: 'translated Calico policies would not apply',
  },
];

/** Values with command-line arguments, which override `cilium-config`. */
const argumentPaths = ['extraArgs', 'operator.extraArgs'];

/**
 * Finds values of an operator that contradict the migration, also where they set a key of `cilium-config` directly or an
 * argument of the agents or the operator.
 * @returns one line per value, with its path and the reason.
 */
export function refusedValues(values: HelmValues): string[] {
  const found = refusedSettings.flatMap(({ path, keys = [], isRefused, reason }) => {
    const paths = [path.split('.'), ...keys.map((key) => ['extraConfig', key])];
    const refused = paths.filter((names) => {
      const text = settingText(valueAt(values, names));
      return text !== undefined && isRefused(text);
    });
    const names = new Set(refused.map((parts) => parts.join('.')));
    return [...names].map((name) => `values.${name}: is refused: ${reason}`);
  });
  return [...found, ...argumentPaths.flatMap((path) => refusedArguments(path, valueAt(values, path.split('.'))))];
}

function refusedArguments(path: string, given: Json | undefined): string[] {
  if (!Array.isArray(given)) return [];
  return given.flatMap((argument) => {
    const [, key = '', value = 'true'] = /^--([a-z0-9-]+)(?:=(.*))?$/.exec(settingText(argument) ?? '') ?? [];
    const reason = refusal(key, value);
    return reason === undefined ? [] : [`values.${path}: --${key}=${value} is refused: ${reason}`];
  });
}

/**
 * Finds keys of a rendered `cilium-config` that contradict the migration.
 * @returns one text per key, with its value and the reason.
 */
export function refusedConfig(config: Readonly<Record<string, string>>): string[] {
  return Object.entries(config).flatMap(([key, value]) => {
    const reason = refusal(key, value);
    return reason === undefined ? [] : [`${key} is ${JSON.stringify(value)}: ${reason}`];
  });
}

function refusal(key: string, value: string): string | undefined {
  return refusedSettings.find(({ keys, isRefused }) => keys?.includes(key) === true && isRefused(value))?.reason;
}

function valueAt(values: HelmValues, names: readonly string[]): Json | undefined {
  let current: Json | undefined = values;
  for (const name of names) {
    if (!isObject(current)) return undefined;
    current = current[name];
  }
  return current;
}

/** Returns a scalar as text; undefined for no value and for lists and maps. */
function settingText(value: Json | undefined): string | undefined {
  return value === undefined || value === null || typeof value === 'object' ? undefined : String(value);
}
