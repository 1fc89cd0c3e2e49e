#!/bin/bash
# Removes the remains of Canal from a node, after its agents have stopped and no pod is on its network. Refuses as long as one
# of them is not the case. Then reports what is left over, one item per line. It removes only what has the names of flannel
# and Calico (flannel pkg/trafficmngr/iptables, felix/rules and felix/ipsets of Calico v3.28).
pod_links='cali[0-9a-f]{11}'
links_in_use "$pod_links" | refuse_if_any 'pods of this node are still on Canal; recreate them' || exit
running flanneld calico-node | refuse_if_any 'agents of Canal still run on this node; stop them' || exit

# Rules and chains, in both variants of iptables, because the one that the agents used is unknown.
# Felix marks its rules in other chains with a comment that starts with "cali:".
ours='(cali-|FLANNEL-)'
in_other_chains="(-[jg] $ours|--comment \"?(cali:|flanneld ))"
clear_rules() { # usage: clear_rules IPTABLES
  command -v "$1" "$1-save" "$1-restore" >/dev/null || return 0
  "$1-save" 2>/dev/null | awk -v ours="$ours" -v others="$in_other_chains" '
    /^\*/ { table = $0; rules = ""; flush = ""; drop = "" }
    /^:/ { name = substr($1, 2); if (name ~ "^" ours) { flush = flush "-F " name "\n"; drop = drop "-X " name "\n" } }
    /^-A / { if ($2 !~ "^" ours && $0 ~ others) { sub(/^-A/, "-D"); rules = rules $0 "\n" } }
    /^COMMIT/ { if (rules flush != "") printf "%s\n%s%s%sCOMMIT\n", table, rules, flush, drop }
  ' | "$1-restore" --noflush --wait 5
}
left_rules() { # usage: left_rules IPTABLES
  command -v "$1-save" >/dev/null || return 0
  "$1-save" 2>/dev/null | grep -E "^:$ours|$in_other_chains" | sed "s/^/$1 /"
}
for kind in iptables-nft iptables-legacy ip6tables-nft ip6tables-legacy; do clear_rules "$kind"; done

sets() { ipset list -name 2>/dev/null | grep -E '^cali[46]0'; }
# Repeated, because a set that another one contains cannot be removed before it.
for _ in 1 2 3; do for name in $(sets); do ipset destroy "$name" 2>/dev/null; done; done

links() {
  ip -o link show type vxlan | awk -F'[:@ ]+' '{ print $2 }' | grep -E '^flannel'
  ip -o link | awk -F'[:@ ]+' '{ print $2 }' | grep -xE "$pod_links"
}
for link in $(links); do ip link delete "$link"; done

files() {
  cd /host || return
  ls -d ".$CNI_CONFIG"/10-canal.conflist* ".$CNI_CONFIG"/calico-kubeconfig* \
    ".$CNI_PLUGINS"/{calico,calico-ipam,flannel} \
    ${CNI_ADDRESSES:+".$CNI_ADDRESSES"} ./var/lib/cni/flannel \
    ./{run/flannel,var/lib/calico,run/calico,var/run/calico,var/log/calico,run/nodeagent,var/run/nodeagent} 2>/dev/null |
    sed 's|^\./||'
}
# Mounts below these folders are unmounted first, so that their content is not deleted.
awk '$5 ~ "^/host/(var/)?run/calico" { print $5 }' /proc/self/mountinfo | sort -r | while read -r mount; do
  nsenter --mount=/host/proc/1/ns/mnt umount "${mount#/host}" 2>/dev/null || umount "$mount"
done
(cd /host && files | xargs -r -d '\n' rm -rf --one-file-system --)

{
  for kind in iptables-nft iptables-legacy ip6tables-nft ip6tables-legacy; do left_rules "$kind"; done
  sets | sed 's/^/ipset /'
  links | sed 's/^/link /'
  ip route show table all | grep -E 'dev (flannel|cali)' | sed 's/^/route /'
  files | sed 's|^|file /|'
} | head -c 3500 >"$report"
exit 0
