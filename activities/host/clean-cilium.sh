#!/bin/bash
# Removes the remains of Cilium from a node after a rollback, when its agents have stopped and no pod is on its network.
# Refuses as long as one of them is not the case, or when the node would have no CNI file any more. Then reports what is left
# over, one item per line. Of Canal, it only restores the CNI files, and releases addresses of pods that are gone.
pod_links='lxc[0-9a-f]+'
restore_cni_files
[ -n "$(other_cni_files)" ] || echo "$CNI_CONFIG" |
  refuse_if_any 'this node has no CNI file of another network; restart the pod of Canal on this node, which writes it' || exit
links_in_use "$pod_links" | refuse_if_any 'pods of this node are still on Cilium; recreate them' || exit
running cilium-agent | refuse_if_any 'the agent of Cilium still runs on this node; stop it' || exit

# Cilium's own cleanup removes links, eBPF programs and pins, routes, rules and the CNI file
# (cilium-dbg/cmd/post_uninstall_cleanup.go). It stops at the first error, so the rest is removed and checked below.
cilium-dbg post-uninstall-cleanup --force >/dev/null 2>&1

clear_rules() { # usage: clear_rules IPTABLES
  command -v "$1" "$1-save" "$1-restore" >/dev/null || return 0
  "$1-save" 2>/dev/null | awk '
    function ours(name) { return name ~ /^(OLD_)?CILIUM_/ || name == "CNI-MIGRATION" }
    /^\*/ { table = $0; rules = ""; flush = ""; drop = "" }
    /^:/ { name = substr($1, 2); if (ours(name)) { flush = flush "-F " name "\n"; drop = drop "-X " name "\n" } }
    /^-A / { if (!ours($2) && $0 ~ /-[jg] ((OLD_)?CILIUM_|CNI-MIGRATION)/) { sub(/^-A/, "-D"); rules = rules $0 "\n" } }
    /^COMMIT/ { if (rules flush != "") printf "%s\n%s%s%sCOMMIT\n", table, rules, flush, drop }
  ' | "$1-restore" --noflush --wait 5
}
for kind in iptables-nft iptables-legacy ip6tables-nft ip6tables-legacy; do clear_rules "$kind"; done
left_rules() { # usage: left_rules IPTABLES
  command -v "$1-save" >/dev/null || return 0
  "$1-save" 2>/dev/null | grep -E '^:(OLD_)?CILIUM_|^:CNI-MIGRATION' | sed "s/^/$1 /"
}

sets() { ipset list -name 2>/dev/null | grep -E '^cilium_'; }
for name in $(sets); do ipset destroy "$name"; done

links() { ip -o link | awk -F'[:@ ]+' '{ print $2 }' | grep -E "^(cilium_|$pod_links\$|lxc_health\$)"; }
for link in $(links); do ip link delete "$link" 2>/dev/null; done

# Cilium's routing tables and the rules that select them (pkg/datapath/linux/linux_defaults).
for family in -4 -6; do
  for table in 2004 2005; do
    ip $family rule | grep -E "lookup $table" | sed -E 's/^([0-9]+):.*/\1/' | while read -r priority; do
      ip $family rule delete priority "$priority" lookup "$table" 2>/dev/null
    done
    ip $family route flush table "$table" 2>/dev/null
  done
done

rm -rf --one-file-system /sys/fs/bpf/cilium /sys/fs/bpf/tc/globals/cilium_* 2>/dev/null

files() {
  cd /host || return
  ls -d ".$CNI_CONFIG"/05-cilium.conf* ".$CNI_PLUGINS"/cilium-cni \
    ./{run/cilium,var/run/cilium,var/lib/cilium,etc/sysctl.d/99-zzz-override_cilium.conf} 2>/dev/null | sed 's|^\./||'
}
(cd /host && files | xargs -r -d '\n' rm -rf --one-file-system --)
release_addresses

{
  for kind in iptables-nft iptables-legacy ip6tables-nft ip6tables-legacy; do left_rules "$kind"; done
  sets | sed 's/^/ipset /'
  links | sed 's/^/link /'
  ip route show table all | grep -E 'dev cilium_' | sed 's/^/route /'
  files | sed 's|^|file /|'
} | head -c 3500 >"$report"
exit 0
