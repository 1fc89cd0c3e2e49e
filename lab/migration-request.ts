import type { MigrationRequest } from '../model/input.ts';
import type { Lab } from './cluster/lab.ts';
import { compiledFolder } from './cluster/node.ts';
import { coexistenceImage, proberImage } from './tools/node-images.ts';

/** Where pods of a migrated lab have their addresses. */
export const targetPodCidr = '10.245.0.0/16';

/**
 * The chart's own lists without SYS_RESOURCE, which many sandboxes lack; its only use, lifting the limit of locked memory,
 * is for kernels before 5.11. Not "privileged", because a privileged agent changes settings of the whole host.
 */
const cleanUpCapabilities = ['NET_ADMIN', 'SYS_MODULE', 'SYS_ADMIN'];
const agentCapabilities = [
  ...cleanUpCapabilities,
  ...['CHOWN', 'KILL', 'NET_RAW', 'IPC_LOCK', 'DAC_OVERRIDE', 'FOWNER', 'SETGID', 'SETUID', 'SYSLOG'],
];

/**
 * What a migration of the lab is started with. The Helm values say where the lab differs from a usual cluster: images
 * that were built here, a host that may lack some rights, no Envoy, no Hubble and no health endpoint because the lab does not
 * build them; and the folder of compiled programs.
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
    // Without people, there is nobody to wait for.
    cleanUp: approval === 'none' ? 'automatic' : 'approve',
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
      securityContext: { capabilities: { ciliumAgent: agentCapabilities, cleanCiliumState: cleanUpCapabilities } },
    },
    ...more,
  };
}

/**
 * A machine with two cores may carry every node: the samples must not be what it is busy with, and what waits for a core
 * is not lost by the network. Paths grow with the square of the nodes.
 * @returns 5 for up to two nodes, 2 for three, 1 for more.
 */
function samplesPerSecond(nodes: number): number {
  return Math.min(5, Math.max(1, Math.floor(12 / Math.max(1, nodes * (nodes - 1)))));
}
