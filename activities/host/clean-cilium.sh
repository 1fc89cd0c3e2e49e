#!/bin/bash
# Removes from a node what Cilium leaves behind, after a rollback: when no agent runs any more and no pod is on its
# network. Then looks, and reports what is still there, one thing a line. Canal's own is not touched.
set -u
report=/dev/termination-log

# Links, eBPF programs and pins, routes and rules, as Cilium itself knows them; it also looks for its CNI file.
# (cilium-dbg/cmd/post_uninstall_cleanup.go; it stops at what it finds broken, so what matters is checked below.)
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

links() { ip -o link | awk -F'[:@ ]+' '{ print $2 }' | grep -E '^(cilium_|lxc[0-9a-f]+$|lxc_health$)'; }
for link in $(links); do ip link delete "$link" 2>/dev/null; done

# Cilium's routing tables and the rules that lead to them (pkg/datapath/linux/linux_defaults).
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
  ls -d etc/cni/net.d/05-cilium.conf* opt/cni/bin/cilium-cni run/cilium var/run/cilium var/lib/cilium \
    etc/sysctl.d/99-zzz-override_cilium.conf 2>/dev/null
}
(cd /host && files | xargs -r rm -rf --one-file-system --)

{
  for kind in iptables-nft iptables-legacy ip6tables-nft ip6tables-legacy; do left_rules "$kind"; done
  sets | sed 's/^/ipset /'
  links | sed 's/^/link /'
  ip route show table all | grep -E 'dev cilium_' | sed 's/^/route /'
  files | sed 's|^|file /|'
} | head -c 3500 >"$report"
exit 0
