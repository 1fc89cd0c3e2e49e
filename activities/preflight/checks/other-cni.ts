import { summarizeList } from '../../../model/summarize.ts';
import { block, pass, warn, worst, type PreflightCheck } from '../check.ts';
import { objectKey } from '../../kubernetes/object-key.ts';

/** Programs that write files or plugins into the CNI folder, by a part of their image or name. */
const others = [
  'multus',
  'istio-cni',
  'install-cni',
  'linkerd-cni',
  'whereabouts',
  'sriov-cni',
  'weave',
  'antrea',
  'kuryr',
  'kube-router',
  'aws-node',
  'azure-cni',
];

/** Plugins of Canal and Cilium, and plugins that they chain. */
const knownPlugins = ['calico', 'flannel', 'host-local', 'portmap', 'bandwidth', 'tuning', 'loopback', 'cilium-cni'];

/** Checks that no other program writes to the CNI folder. */
export const otherCni: PreflightCheck = {
  ensures: 'No other program has a CNI file or plugin on the nodes, such as Multus, or the CNI of Istio or Linkerd.',
  verdicts: 'Blocks for each that is found; warns when the CNI folders of the nodes are not read.',
  fix: 'Remove it, or chain it in the CNI file of Cilium (cni.configMap) and set cni.exclusive to false; then waive this check.',
  rationale: 'Cilium renames all other files in the CNI folder, and nothing renames them back (docs-csm PR 4109).',
  run: async ({ daemonSets, canal, hosts }) => {
    const canalName = (await canal())?.name;
    const programs = (await daemonSets()).filter(({ metadata, spec }) => {
      const containers = [...(spec?.template.spec?.containers ?? []), ...(spec?.template.spec?.initContainers ?? [])];
      // Container names are excluded: Canal's own init container is called install-cni.
      const texts = [metadata?.name ?? '', ...containers.map(({ image = '' }) => image)];
      return metadata?.name !== canalName && texts.some((text) => others.some((other) => text.includes(other)));
    });
    const facts = await hosts();
    const files = [...(facts ?? [])].flatMap(([node, { cniFiles }]) =>
      Object.entries(cniFiles)
        .filter(
          ([file, plugins]) => !file.endsWith('.cilium_bak') && plugins.some((plugin) => !knownPlugins.includes(plugin))
        )
        .map(([file, plugins]) => `${node}: ${file} (${plugins.join(', ')})`)
    );
    return worst(
      programs.length > 0 ? block(`DaemonSets ${summarizeList(programs.map(objectKey))}`) : pass('no other CNI plugin'),
      files.length > 0 ? block(`in /etc/cni/net.d: ${summarizeList(files)}`) : pass(),
      facts === undefined ? warn('CNI folders were not read: nodeInspection is off') : pass()
    );
  },
};
