import type { V1Node, V1Pod, V1PodList } from '@kubernetes/client-node';
import type { Lab } from '../../lab/cluster/lab.ts';
import { runInside } from '../../lab/machine/machine.ts';
import { targetPodCidr } from '../../lab/migration-request.ts';
import { contains } from '../../model/networks.ts';
import { read } from './reads.ts';

/** Reads pods by kubectl's own selectors. */
export async function listPods(lab: Lab, ...selector: string[]): Promise<V1Pod[]> {
  return (await read<V1PodList>(lab, 'pods', ...selector)).items;
}

/** True when Cilium assigned the pod's address. */
export function onCilium(pod: V1Pod): boolean {
  return contains(targetPodCidr, pod.status?.podIP);
}

/** Networks of the pods of a node, and the content of its CNI folder. */
export interface NodeNetwork {
  networks: string[];
  files: string[];
  cordoned: boolean;
}

/** A node that only Canal serves. */
export const canalNode: NodeNetwork = {
  networks: ['Canal'],
  files: ['10-canal.conflist', 'calico-kubeconfig'],
  cordoned: false,
};

/** CNI files of a node whose new pods start on Cilium. */
export const flippedFiles = ['05-cilium.conflist', '10-canal.conflist.cilium_bak', 'calico-kubeconfig'];

/** Reads the {@link NodeNetwork} of a node. Terminating pods do not count. */
export async function readNodeNetwork(lab: Lab, node: string): Promise<NodeNetwork> {
  const running = await listPods(lab, '-A', '--field-selector', `spec.nodeName=${node},status.phase=Running`);
  const networks = running
    .filter((pod) => pod.spec?.hostNetwork !== true && pod.metadata?.deletionTimestamp === undefined)
    .map((pod) => (onCilium(pod) ? 'Cilium' : 'Canal'));
  const files = (await runInside(lab.layout.machineDir(node), ['ls', '/etc/cni/net.d'])).trim().split('\n');
  const { spec } = await read<V1Node>(lab, 'node', node);
  return { networks: [...new Set(networks)], files, cordoned: spec?.unschedulable === true };
}
