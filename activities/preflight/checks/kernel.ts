import { summarizeList } from '../../../model/summarize.ts';
import { block, pass, warn, worst, type PreflightCheck } from '../check.ts';

/** Checks that every kernel can run Cilium's programs. */
export const kernel: PreflightCheck = {
  ensures:
    'Every node runs Linux 5.10 or newer (or 4.18 of RHEL 8) on amd64 or arm64, with BPF type information (BTF) and nftables.',
  verdicts:
    'Blocks for an older kernel, another operating system or another architecture, and for a kernel that is built without nftables; warns where BTF is missing.',
  fix: 'Upgrade the node, or remove it from the cluster.',
  rationale:
    'System requirements of Cilium (Documentation/operations/system_requirements.rst, v1.20). The NAT exemption is a table of nftables.',
  run: async ({ nodes, hosts }) => {
    const systems = (await nodes()).map(({ metadata, status }) => {
      const { kernelVersion = '', operatingSystem = '', architecture = '' } = status?.nodeInfo ?? {};
      const able =
        operatingSystem === 'linux' && isSupported(kernelVersion) && ['amd64', 'arm64'].includes(architecture);
      return {
        name: metadata?.name ?? '',
        able,
        text: `${metadata?.name}: ${operatingSystem} ${kernelVersion} ${architecture}`,
      };
    });
    const old = systems.filter(({ able }) => !able);
    const facts = [...((await hosts()) ?? [])];
    const bare = facts.filter(([, { btf, unread }]) => !btf && unread === undefined).map(([node]) => node);
    const withoutTables = facts.filter(([, { nftables }]) => nftables === false).map(([node]) => node);
    return worst(
      withoutTables.length > 0 ? block(`no nftables (CONFIG_NF_TABLES) on ${summarizeList(withoutTables)}`) : pass(),
      old.length > 0
        ? block(`not supported: ${summarizeList(old.map(({ text }) => text))}`)
        : pass(
            summarizeList(
              systems.map(({ text }) => text),
              5
            )
          ),
      bare.length > 0 ? warn(`no BTF (/sys/kernel/btf/vmlinux) on ${summarizeList(bare)}`) : pass()
    );
  },
};

/** Returns true when Cilium supports the kernel version. */
export function isSupported(version: string): boolean {
  const [major = 0, minor = 0] = version.split('.').map((part) => Number.parseInt(part, 10));
  if (/^4\.18\..*\.el8/.test(version)) return true;
  return major > 5 || (major === 5 && minor >= 10);
}
