import path from 'node:path';
import type { MachineSpec } from '../machine/machine.ts';
import { pauseImage } from '../tools/node-images.ts';
import { command } from './control-plane.ts';
import { dnsAddress, podCidr, type LabLayout } from './layout.ts';

/** Folders of a node that are outside its overlay: containerd mounts overlays from its own folder. */
export const nodeVolumes = ['/var/lib/containerd', '/var/lib/kubelet', '/var/lib/lab-ledger'] as const;

/** Folder in which a node finds programs that the agents of any node compiled (see lab/images/cilium-clang.sh). */
export const compiledFolder = '/var/cache/compiled';

const socket = '/run/containerd/containerd.sock';

/** Returns the services of a node's machine: containerd, kubelet, kube-proxy. */
export function nodeServices(layout: LabLayout, name: string): MachineSpec['services'] {
  const pki = (file: string): string => path.join(layout.pki, file);
  return {
    containerd: [
      heredoc('/run/containerd.toml', containerdConfig),
      command('containerd', { config: '/run/containerd.toml' }),
    ].join('\n'),
    kubelet: [
      heredoc('/run/kubelet.yaml', JSON.stringify(kubeletConfig(pki, name))),
      `until ctr -a ${socket} version > /dev/null 2>&1; do sleep 0.1; done`,
      `while [ -e ${layout.kubeletHoldFile(name)} ]; do sleep 0.1; done`,
      command('kubelet', {
        config: '/run/kubelet.yaml',
        kubeconfig: pki(`${name}.kubeconfig`),
        'hostname-override': name,
        'node-ip': layout.nodeAddress(name),
      }),
    ].join('\n'),
    'kube-proxy': command('kube-proxy', {
      kubeconfig: pki('proxy.kubeconfig'),
      'hostname-override': name,
      'cluster-cidr': podCidr,
      'proxy-mode': layout.packetFilter,
      // 0 keeps the host's connection tracking limits unchanged: they do not belong to the namespace.
      'conntrack-max-per-core': '0',
      'conntrack-tcp-timeout-established': '0',
      'conntrack-tcp-timeout-close-wait': '0',
    }),
  };
}

const containerdConfig = `version = 3
root = "/var/lib/containerd"
state = "/run/containerd"
[grpc]
address = "${socket}"
[plugins."io.containerd.cri.v1.images"]
snapshotter = "overlayfs"
[plugins."io.containerd.cri.v1.images".pinned_images]
sandbox = "${pauseImage}"
[plugins."io.containerd.cri.v1.runtime"]
disable_apparmor = true
# Without CAP_SYS_RESOURCE, as in many sandboxes, a score cannot be lowered.
restrict_oom_score_adj = true
[plugins."io.containerd.cri.v1.runtime".cni]
bin_dirs = ["/opt/cni/bin"]
conf_dir = "/etc/cni/net.d"
[plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc]
runtime_type = "io.containerd.runc.v2"
[plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc.options]
SystemdCgroup = false
`;

function kubeletConfig(pki: (file: string) => string, name: string): object {
  return {
    apiVersion: 'kubelet.config.k8s.io/v1beta1',
    kind: 'KubeletConfiguration',
    authentication: {
      anonymous: { enabled: false },
      webhook: { enabled: true },
      x509: { clientCAFile: pki('ca.crt') },
    },
    authorization: { mode: 'Webhook' },
    clusterDNS: [dnsAddress],
    clusterDomain: 'cluster.local',
    containerRuntimeEndpoint: `unix://${socket}`,
    tlsCertFile: pki(`${name}.crt`),
    tlsPrivateKeyFile: pki(`${name}.key`),
    // The machine's control group is the root that the node sees; nothing is reserved within it.
    cgroupDriver: 'cgroupfs',
    cgroupRoot: '/',
    cgroupsPerQOS: false,
    enforceNodeAllocatable: [],
    failCgroupV1: false,
    failSwapOn: false,
    localStorageCapacityIsolation: false,
    evictionHard: {},
    imageGCHighThresholdPercent: 100,
    maxPods: 60,
  };
}

function heredoc(file: string, text: string): string {
  return `cat > ${file} <<'END_OF_FILE'\n${text}\nEND_OF_FILE`;
}
