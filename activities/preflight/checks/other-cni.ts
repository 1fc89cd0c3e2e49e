import type { V1DaemonSet } from '@kubernetes/client-node';
import { isCniExclusive } from '../../../model/helm-values.ts';
import { summarizeList } from '../../../model/summarize.ts';
import { pass, unlessEmpty, warn, worst, type PreflightCheck } from '../check.ts';
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

/** Checks that no other program writes to the CNI folder, or that Cilium keeps its files. */
export const otherCni: PreflightCheck = {
  ensures:
    'No other program has a CNI file or plugin on the nodes, such as Multus, or the CNI of Istio or Linkerd; or Cilium keeps their files, because cni.exclusive is false.',
  verdicts:
    'Blocks for each that is found; with the value cni.exclusive: false it only warns. Warns when the CNI folders of the nodes are not read.',
  fix: 'Set "cni": {"exclusive": false} in "values": Cilium then keeps the files of other programs in the CNI folder, during the migration and after it. Or remove the program.',
  rationale:
    'By default, Cilium renames all other files in the CNI folder, and nothing renames them back (docs-csm PR 4109).',
  run: async ({ daemonSets, canal, hosts, input }) => {
    const canalName = (await canal())?.name;
    const programs = (await daemonSets()).filter((daemonSet) => isOtherProgram(daemonSet, canalName));
    const facts = await hosts();
    const files = [...(facts ?? [])].flatMap(([node, { cniFiles }]) =>
      Object.entries(cniFiles)
        .filter(
          ([file, plugins]) => !file.endsWith('.cilium_bak') && plugins.some((plugin) => !knownPlugins.includes(plugin))
        )
        .map(([file, plugins]) => `${node}: ${file} (${plugins.join(', ')})`)
    );
    const found = [
      ...(programs.length > 0 ? [`DaemonSets ${summarizeList(programs.map(objectKey))}`] : []),
      ...(files.length > 0 ? [`in /etc/cni/net.d: ${summarizeList(files)}`] : []),
    ];
    const finding = isCniExclusive(input)
      ? unlessEmpty('block', found, 'no other CNI plugin')
      : { ...unlessEmpty('warn', found, 'no other CNI plugin'), ...(found.length > 0 && { fix: keptFilesAdvice }) };
    return worst(finding, facts === undefined ? warn('CNI folders were not read: nodeInspection is off') : pass());
  },
};

/** Remedy where Cilium keeps the files of other programs. */
const keptFilesAdvice =
  "Cilium keeps these files. A flipped node uses 05-cilium.conflist instead of Canal's file. A program that adds its plugin to the first file, such as the CNI of Istio or Linkerd, must do so again whenever that file is written; Multus must use 05-cilium.conflist as its master plugin once it exists. Check this on the canary: a pod that is started there must have both networks, or the plugin.";

function isOtherProgram({ metadata, spec }: V1DaemonSet, canalName: string | undefined): boolean {
  const { containers = [], initContainers = [] } = spec?.template.spec ?? {};
  // Container names are excluded: Canal's own init container is called install-cni.
  const texts = [metadata?.name ?? '', ...[...containers, ...initContainers].map(({ image = '' }) => image)];
  return metadata?.name !== canalName && texts.some((text) => others.some((other) => text.includes(other)));
}
