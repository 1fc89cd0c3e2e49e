import type { MigrationInput } from './input.ts';
import { cniChainKey, cniChainName } from './names.ts';

/** A JSON value, the type of every Helm value. */
// An index signature, because a Record must not refer to itself.
export type Json = string | number | boolean | null | Json[] | { [key: string]: Json };

/** Helm values. */
export type HelmValues = Record<string, Json>;

/** Path of the CNI file in the agents' container. */
const cniChainPath = `/cni-chain/${cniChainKey}`;

/**
 * Key that controls whether a starting agent removes CiliumEndpoints of its node that it does not own (cilium
 * pkg/endpointcleanup, v1.20). The operator still collects those whose pod is gone.
 */
const staleEndpointCleanupKey = 'enable-stale-cilium-endpoint-cleanup';

/**
 * Key that controls whether a starting agent inserts its iptables rules before all others (cilium
 * pkg/datapath/iptables, v1.20). Its rules accept packets from its overlay, and in first place they would accept
 * packets to Canal pods before Calico evaluates them: in the lab, for seconds after each start of an agent, until
 * Calico's rules were first again. Without the identity bridge they must be first: answers to pods on Canal take a
 * different route from the requests, and kube-proxy's rules drop them as invalid.
 */
const prependRulesKey = 'prepend-iptables-chains';

/**
 * Key that controls whether an agent renames all other CNI files, at its start and whenever one is written (cilium
 * daemon/cmd/cni, v1.20). The chart renders it only where agents write a CNI file, and flipped nodes read it from
 * `cilium-config`. Agents that write no CNI file ignore it.
 */
const exclusiveKey = 'cni-exclusive';

/** Returns true unless the operator's values keep the CNI files of other programs. */
export function isCniExclusive({ values: { cni } }: Pick<MigrationInput, 'values'>): boolean {
  return !isObject(cni) || cni['exclusive'] !== false;
}

/**
 * Returns the values that Cilium is installed with next to Canal: agents and overlay run on every node, and own no pod.
 *
 * Based on Cilium's migration guide (Documentation/installation/k8s-install-migration.rst of v1.20.2). In addition: no
 * node taint while Canal still serves the node, and agents are replaced only when the migration does so.
 */
export function coexistenceValues(input: MigrationInput): HelmValues {
  const { extraVolumes, extraVolumeMounts, ...values } = input.values;
  return merge(values, {
    // Calico's ipBlock matches nodes; Cilium's does not by default.
    policyCIDRMatchMode: ['nodes'],
    routingMode: 'tunnel',
    tunnelProtocol: 'vxlan',
    tunnelPort: input.tunnelPort,
    ipam: {
      mode: 'cluster-pool',
      operator: { clusterPoolIPv4PodCIDRList: [input.podCidr], clusterPoolIPv4MaskSize: input.nodeMaskSize },
    },
    // Not "configMap": with "customConf" as well, the chart makes agents write the file immediately.
    cni: { customConf: true, uninstall: false },
    extraVolumes: [...asList(extraVolumes), { name: 'cni-chain', configMap: { name: cniChainName } }],
    extraVolumeMounts: [
      ...asList(extraVolumeMounts),
      { name: 'cni-chain', mountPath: cniChainPath.slice(0, cniChainPath.lastIndexOf('/')), readOnly: true },
    ],
    // Agents that own no pod have nothing to enforce; they enforce from their first pod on.
    policyEnforcementMode: input.policyMode === 'off' ? 'never' : 'default',
    policyAuditMode: input.policyMode === 'audit',
    // The identity bridge's endpoints are CiliumEndpoints; they must survive the start of the agent on their node.
    ciliumEndpointSlice: { enabled: false },
    identityAllocationMode: 'crd',
    extraConfig: {
      [staleEndpointCleanupKey]: 'false',
      [prependRulesKey]: String(input.policyMode === 'off'),
      [exclusiveKey]: String(isCniExclusive(input)),
    },
    bpf: { hostLegacyRouting: true },
    kubeProxyReplacement: 'false',
    operator: { unmanagedPodWatcher: { restart: false }, setNodeTaints: false },
    updateStrategy: { type: 'OnDelete', rollingUpdate: null },
  });
}

/**
 * Devices that agents ignore from the cutover on. By default they attach their programs to every device with a route,
 * Canal's overlay included, and recompile all of them on every node when the cleanup removes it: in the lab, that
 * delayed the start and end of pods by half a minute. When devices are configured, veths without a default route are
 * included (cilium pkg/datapath/linux/devices_controller.go, v1.20), so the veths of pods are excluded here too.
 */
const ignoredDevices = ['!flannel+', '!cali+', '!veth+'];

/** True when the operator's values configure the devices to which agents attach their programs. */
function hasDevices({ values }: MigrationInput): boolean {
  const { devices } = values;
  return typeof devices === 'string' ? devices !== '' : Array.isArray(devices) && devices.length > 0;
}

/**
 * Returns the values of the cutover, when every node is migrated: Cilium writes its own CNI file and enforces policy.
 */
export function cutoverValues(input: MigrationInput): HelmValues {
  const devices = { devices: ignoredDevices, forceDeviceDetection: true };
  const coexistence = merge(coexistenceValues(input), hasDevices(input) ? {} : devices);
  // The chart renders the key itself from now on: twice, it would not be valid.
  const { [exclusiveKey]: renderedByChart, ...extraConfig } = coexistence['extraConfig'] as HelmValues;
  return merge(
    { ...coexistence, extraConfig },
    {
      cni: { customConf: false, readCniConf: cniChainPath },
      policyEnforcementMode: 'default',
      policyAuditMode: false,
      extraConfig: { [staleEndpointCleanupKey]: 'true', [prependRulesKey]: 'true' },
      operator: { unmanagedPodWatcher: { restart: true }, setNodeTaints: true },
    }
  );
}

/** Returns true for values with which Cilium owns the CNI of every node: all but those of the coexistence. */
export function ownsCni(values: HelmValues): boolean {
  const cni = values['cni'] as { customConf?: unknown } | undefined;
  return cni?.customConf !== true;
}

/** Returns the final values: those of the cutover, and the DaemonSet replaces its pods automatically again. */
export function finalValues(input: MigrationInput): HelmValues {
  return merge(cutoverValues(input), {
    updateStrategy: { type: 'RollingUpdate', rollingUpdate: { maxUnavailable: 1 } },
  });
}

/**
 * Returns the keys of the ConfigMap `cilium-config` that the chart must render from the coexistence values; null for a
 * key that must be absent. Helm ignores values with an unknown name, so the rendered result is checked.
 */
export function expectedConfig(input: MigrationInput): Record<string, string | null> {
  return {
    'routing-mode': 'tunnel',
    'tunnel-protocol': 'vxlan',
    'tunnel-port': String(input.tunnelPort),
    ipam: 'cluster-pool',
    'cluster-pool-ipv4-cidr': input.podCidr,
    'cluster-pool-ipv4-mask-size': String(input.nodeMaskSize),
    'custom-cni-conf': 'true',
    'write-cni-conf-when-ready': null,
    'enable-policy': input.policyMode === 'off' ? 'never' : 'default',
    'policy-audit-mode': String(input.policyMode === 'audit'),
    [staleEndpointCleanupKey]: 'false',
    [prependRulesKey]: String(input.policyMode === 'off'),
    [exclusiveKey]: String(isCniExclusive(input)),
    'enable-host-legacy-routing': 'true',
    'unmanaged-pod-watcher-interval': '0',
  };
}

/** Returns the expected keys for the values of the cutover. */
export function expectedCutoverConfig(input: MigrationInput): Record<string, string | null> {
  return {
    'write-cni-conf-when-ready': '/host/etc/cni/net.d/05-cilium.conflist',
    'read-cni-conf': cniChainPath,
    [exclusiveKey]: String(isCniExclusive(input)),
    'enable-policy': 'default',
    'policy-audit-mode': 'false',
    // Without `force-device-detection`, agents would use no device at all.
    ...(!hasDevices(input) && { devices: ignoredDevices.join(' '), 'force-device-detection': 'true' }),
  };
}

/** Keys that the CiliumNodeConfig changes on a flipped node, as in `cilium-config`. */
export const flippedNodeConfig: Readonly<Record<string, string>> = {
  'write-cni-conf-when-ready': '/host/etc/cni/net.d/05-cilium.conflist',
  'read-cni-conf': cniChainPath,
  'custom-cni-conf': 'false',
  'cni-chaining-mode': 'none',
};

/** Returns the paths of input values that conflict with values of the migration. An input with conflicts is refused. */
export function conflictingValues(input: MigrationInput): string[] {
  const { extraVolumes, extraVolumeMounts, ...requiredValues } = coexistenceValues({ ...input, values: {} });
  return conflicts(input.values, requiredValues, '');
}

function conflicts(given: HelmValues, required: HelmValues, path: string): string[] {
  return Object.entries(given).flatMap(([key, value]) => {
    const requiredValue = required[key];
    const keyPath = `${path}${key}`;
    if (requiredValue === undefined) return [];
    if (isObject(value) && isObject(requiredValue)) return conflicts(value, requiredValue, `${keyPath}.`);
    return JSON.stringify(value) === JSON.stringify(requiredValue) ? [] : [keyPath];
  });
}

/** Merges two sets of values recursively. Fields of `overrides` take precedence. */
export function merge(base: HelmValues, overrides: HelmValues): HelmValues {
  const merged: HelmValues = { ...base };
  for (const [key, value] of Object.entries(overrides)) {
    const current = merged[key];
    merged[key] = isObject(current) && isObject(value) ? merge(current, value) : value;
  }
  return merged;
}

function asList(value: Json | undefined): Json[] {
  return Array.isArray(value) ? value : [];
}

/** True for values that contain other values. */
export function isObject(value: Json | undefined): value is HelmValues {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
