import type { MigrationInput } from './input.ts';
import { cniChainKey, cniChainName } from './names.ts';

/** A JSON value, as Helm values are made of. */
// An interface-like index signature, because a Record that refers to itself is not allowed.

export type Json = string | number | boolean | null | Json[] | { [key: string]: Json };

/** Helm values. */
export type HelmValues = Record<string, Json>;

/** Where agents find that file. */
const cniChainPath = `/cni-chain/${cniChainKey}`;

/**
 * Whether a starting agent removes CiliumEndpoints of its node that are not its own (cilium pkg/endpointcleanup, v1.20);
 * the operator's collection of those whose pod is gone goes on.
 */
const staleEndpointCleanUp = 'enable-stale-cilium-endpoint-cleanup';

/**
 * Whether an agent that starts puts its iptables rules before everybody else's (cilium pkg/datapath/iptables, v1.20). It
 * accepts what comes from its overlay, and would do so before Calico has judged what goes to a pod of Canal's: in the lab,
 * for seconds after each start of an agent, until Calico's came back to the top. Without the identity bridge they have to
 * be first: answers to pods on Canal take another way than the requests, and kube-proxy's rules drop those as invalid.
 */
const rulesFirst = 'prepend-iptables-chains';

/**
 * What Cilium is installed with, beside Canal: agents and overlay run on every node, and own no pod.
 *
 * From Cilium's migration guide (Documentation/installation/k8s-install-migration.rst of v1.20.2), and beyond it:
 * no node taint while Canal still serves the node, and agents that are replaced only when the migration says so.
 */
export function coexistenceValues(input: MigrationInput): HelmValues {
  const { extraVolumes, extraVolumeMounts, ...values } = input.values;
  // Calico's ipBlock matches nodes, and Cilium's by itself does not.
  return merge(merge({ policyCIDRMatchMode: ['nodes'] }, values), {
    routingMode: 'tunnel',
    tunnelProtocol: 'vxlan',
    tunnelPort: input.tunnelPort,
    ipam: {
      mode: 'cluster-pool',
      operator: { clusterPoolIPv4PodCIDRList: [input.podCidr], clusterPoolIPv4MaskSize: input.nodeMaskSize },
    },
    // Not "configMap": with "customConf", the chart then has agents write the file at once.
    cni: { customConf: true, uninstall: false },
    extraVolumes: [...list(extraVolumes), { name: 'cni-chain', configMap: { name: cniChainName } }],
    extraVolumeMounts: [
      ...list(extraVolumeMounts),
      { name: 'cni-chain', mountPath: cniChainPath.slice(0, cniChainPath.lastIndexOf('/')), readOnly: true },
    ],
    // Agents that own no pod have nothing to enforce, and enforce from the first one they own.
    policyEnforcementMode: input.policyMode === 'off' ? 'never' : 'default',
    policyAuditMode: input.policyMode === 'audit',
    // The identity bridge's endpoints are CiliumEndpoints, and stay when the agent of their node starts.
    ciliumEndpointSlice: { enabled: false },
    identityAllocationMode: 'crd',
    extraConfig: { [staleEndpointCleanUp]: 'false', [rulesFirst]: String(input.policyMode === 'off') },
    bpf: { hostLegacyRouting: true },
    kubeProxyReplacement: 'false',
    operator: { unmanagedPodWatcher: { restart: false }, setNodeTaints: false },
    updateStrategy: { type: 'OnDelete', rollingUpdate: null },
  });
}

/**
 * Devices that agents leave alone from the cut-over on. By themselves they attach their programs to every device with a
 * route, Canal's overlay too, and compile all of them anew, on every node, when the clean-up removes it: in the lab, pods
 * began and ended half a minute later meanwhile. Once devices are named, veths count that have no default route (cilium
 * pkg/datapath/linux/devices_controller.go, v1.20), so that those of pods are named too.
 */
const ignoredDevices = ['!flannel+', '!cali+', '!veth+'];

/** Whether the operator says which devices agents attach their programs to. */
function namesDevices({ values }: MigrationInput): boolean {
  const { devices } = values;
  return typeof devices === 'string' ? devices !== '' : Array.isArray(devices) && devices.length > 0;
}

/** What Cilium runs with when every node is migrated: it writes its own CNI file and enforces policy. */
export function cutOverValues(input: MigrationInput): HelmValues {
  const devices = { devices: ignoredDevices, forceDeviceDetection: true };
  return merge(merge(coexistenceValues(input), namesDevices(input) ? {} : devices), {
    cni: { customConf: false, readCniConf: cniChainPath },
    policyEnforcementMode: 'default',
    policyAuditMode: false,
    extraConfig: { [staleEndpointCleanUp]: 'true', [rulesFirst]: 'true' },
    operator: { unmanagedPodWatcher: { restart: true }, setNodeTaints: true },
  });
}

/** What Cilium is left with: the same, and the DaemonSet may replace its pods by itself again. */
export function finalValues(input: MigrationInput): HelmValues {
  return merge(cutOverValues(input), {
    updateStrategy: { type: 'RollingUpdate', rollingUpdate: { maxUnavailable: 1 } },
  });
}

/**
 * What the chart must make of the coexistence values, as keys of the ConfigMap `cilium-config`; null for a key that must
 * not be there. Helm ignores a value whose name it does not know, so what was rendered is what counts.
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
    [staleEndpointCleanUp]: 'false',
    [rulesFirst]: String(input.policyMode === 'off'),
    'enable-host-legacy-routing': 'true',
    'unmanaged-pod-watcher-interval': '0',
  };
}

/** The same for the values of the cut-over. */
export function expectedCutOverConfig(input: MigrationInput): Record<string, string | null> {
  return {
    'write-cni-conf-when-ready': '/host/etc/cni/net.d/05-cilium.conflist',
    'read-cni-conf': cniChainPath,
    'cni-exclusive': 'true',
    'enable-policy': 'default',
    'policy-audit-mode': 'false',
    // Without the second, agents would use no device at all.
    ...(!namesDevices(input) && { devices: ignoredDevices.join(' '), 'force-device-detection': 'true' }),
  };
}

/** What the CiliumNodeConfig changes on a flipped node (keys as in `cilium-config`). */
export const flippedNodeConfig: Readonly<Record<string, string>> = {
  'write-cni-conf-when-ready': '/host/etc/cni/net.d/05-cilium.conflist',
  'read-cni-conf': cniChainPath,
  'custom-cni-conf': 'false',
  'cni-chaining-mode': 'none',
  'cni-exclusive': 'true',
};

/** Values that the caller gives and the migration needs otherwise, by path; such an input is refused. */
export function conflictingValues(input: MigrationInput): string[] {
  const { extraVolumes, extraVolumeMounts, ...ours } = coexistenceValues({ ...input, values: {} });
  return conflicts(input.values, ours, '');
}

function conflicts(given: HelmValues, ours: HelmValues, path: string): string[] {
  return Object.entries(given).flatMap(([key, value]) => {
    const wanted = ours[key];
    const where = `${path}${key}`;
    if (wanted === undefined) return [];
    if (isObject(value) && isObject(wanted)) return conflicts(value, wanted, `${where}.`);
    return JSON.stringify(value) === JSON.stringify(wanted) ? [] : [where];
  });
}

/** Fields of the second before those of the first; what both have as an object is put together. */
export function merge(under: HelmValues, over: HelmValues): HelmValues {
  const merged: HelmValues = { ...under };
  for (const [key, value] of Object.entries(over)) {
    const below = merged[key];
    merged[key] = isObject(below) && isObject(value) ? merge(below, value) : value;
  }
  return merged;
}

function list(value: Json | undefined): Json[] {
  return Array.isArray(value) ? value : [];
}

/** True for values that have values below them. */
export function isObject(value: Json | undefined): value is HelmValues {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
