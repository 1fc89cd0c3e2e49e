import type { MigrationRequest } from '../model/input.ts';
import type { Lab } from './cluster/lab.ts';
import { compiledFolder } from './cluster/node.ts';
import { coexistenceImage, proberImage } from './tools/node-images.ts';

/** Pod CIDR of a migrated lab. */
export const targetPodCidr = '10.245.0.0/16';

/**
 * The chart's own lists without SYS_RESOURCE, which many sandboxes lack. Its only use, to lift the limit of locked
 * memory, is for kernels before 5.11. Not "privileged", because a privileged agent changes settings of the whole host.
 */
const cleanupCapabilities = ['NET_ADMIN', 'SYS_MODULE', 'SYS_ADMIN'];
const agentCapabilities = [
  ...cleanupCapabilities,
  ...['CHOWN', 'KILL', 'NET_RAW', 'IPC_LOCK', 'DAC_OVERRIDE', 'FOWNER', 'SETGID', 'SETUID', 'SYSLOG'],
];

/**
 * Returns the request that starts the migration of a lab. The Helm values describe how the lab differs from a usual
 * cluster: images that were built here; a host that may lack some permissions; no Envoy, no Hubble and no health
 * endpoint, because the lab does not build them; and the folder of compiled programs.
 */
export function labMigrationRequest(
  lab: Lab,
  approval: MigrationRequest['approval'] = 'none',
  more: Partial<MigrationRequest> = {}
): MigrationRequest {
  const image = (repository: string) => ({ repository, tag: 'v1.20.2', useDigest: false, pullPolicy: 'IfNotPresent' });
  return {
    cluster: lab.layout.context,
    approval,
    // Without people, nobody can approve.
    cleanup: approval === 'none' ? 'automatic' : 'approve',
    podCidr: targetPodCidr,
    chart: lab.catalogue.ciliumChart,
    proberImage,
    coexistenceImage,
    backup: 'a throwaway lab: it is made anew',
    ledger: {
      samplesPerSecond: samplesPerSecond(lab.layout.nodeNames.length),
      baselineSeconds: 10,
      afterSeconds: 10,
      outside: [`${lab.layout.controlPlaneAddress}:6443`],
    },
    gates: { toleranceMs: 20_000 },
    values: {
      image: image('quay.io/cilium/cilium'),
      operator: { replicas: 1, image: image('quay.io/cilium/operator') },
      envoy: { enabled: false },
      l7Proxy: false,
      hubble: { enabled: false },
      endpointHealthChecking: { enabled: false },
      cgroup: { autoMount: { enabled: false }, hostRoot: '/sys/fs/cgroup' },
      sysctlfix: { enabled: false },
      extraHostPathMounts: [{ name: 'compiled', mountPath: compiledFolder, hostPath: compiledFolder, readOnly: false }],
      securityContext: { capabilities: { ciliumAgent: agentCapabilities, cleanCiliumState: cleanupCapabilities } },
    },
    ...more,
  };
}

/**
 * Returns the probers' sampling rate. A machine with two cores may carry every node: the samples must not keep it busy,
 * and the network does not lose a sample that waits for a core. The number of paths grows with the square of the nodes.
 * @returns 5 for up to two nodes, 2 for three, 1 for more.
 */
function samplesPerSecond(nodes: number): number {
  return Math.min(5, Math.max(1, Math.floor(12 / Math.max(1, nodes * (nodes - 1)))));
}
