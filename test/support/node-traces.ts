import { runInside } from '../../lab/machine/machine.ts';

/**
 * Returns the state of a network on a node, as lines: chains and the rules that lead to them, sets, tables of nftables,
 * links, routes, routing rules, files and eBPF pins. State of single pods is left out, because pods are created and deleted meanwhile.
 */
export async function nodeTraces(machineDir: string): Promise<string[]> {
  const text = await runInside(machineDir, ['bash', '-c', script]);
  return [...new Set(text.split('\n').filter(Boolean))].sort();
}

/** Returns the lines about Canal or this project. */
export function canalOrProjectLines(traces: readonly string[]): string[] {
  return traces.filter((line) => /cali|flannel|canal|k8s-pod-network|cni-migration|cni-live/i.test(line));
}

// Written independently of the cleanup scripts: it searches by pattern, while they use lists.
const script = `
for save in iptables-nft-save iptables-legacy-save ip6tables-nft-save ip6tables-legacy-save; do
  $save 2>/dev/null | grep -E '^:|^-A (PREROUTING|INPUT|FORWARD|OUTPUT|POSTROUTING) ' | sed -E "s/ \\[[0-9:]+\\]$//; s/^/$save /"
done | grep -vE 'KUBE-(SVC|SEP|FW|EXT|SVL)-|CNI-(DN|SN|HOSTPORT)|:cali-(fw|tw)-|:cali-(from|to)-wl-dispatch-'
ipset list -name 2>/dev/null | sed 's/^/ipset /'
# Those of iptables are above.
nft list tables | grep -vE ' ip6? (filter|nat|mangle|raw|security)$' | sed 's/^/nft /'
ip -o link | awk -F'[:@ ]+' '{ print "link " $2 }' | grep -vE 'link (cali|lxc)[0-9a-f]{6,}$'
ip -o link | awk -F'[:@ ]+' '{ print "link " $2 }' | grep -oE 'link (cali|lxc)[0-9a-f]{6,}$' | sed -E 's/[0-9a-f]{6,}$/of a pod/'
ip route show table all | grep -oE 'dev (flannel|cilium_|cali|lxc)[a-z_.0-9]*' | sed -E 's/^/route /; s/(cali|lxc)[0-9a-f]+/\\1/'
ip rule | sed 's/^/rule /'
find /etc /opt /var/lib /var/log /run /usr/libexec -xdev \\( -path /run/containerd -o -path /var/lib/containerd -o -path /var/lib/kubelet -o -path '/var/log/pods' -o -path '/var/log/containers' -o -path /run/netns -o -path '/run/calico/cgroup' \\) -prune -o -print 2>/dev/null |
  grep -iE 'cni|cali|flannel|canal|cilium|nodeagent' | grep -vE 'results/|networks/k8s-pod-network/[0-9]|log/calico/cni/cni.*log|cilium/state|/run/cilium/' | sed 's/^/file /'
grep -E ' /run/(calico|cilium|flannel)' /proc/self/mountinfo | awk '{ print "mount " $5 }'
find /sys/fs/bpf -mindepth 1 -maxdepth 1 2>/dev/null | sed 's/^/pin /'
true
`;
