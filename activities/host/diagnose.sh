#!/bin/bash
# Prints the state of a node's network for the diagnosis of a failed migration. It only reads. Each section is limited in
# time and length, so that one that hangs or prints too much does not affect the others.
section() {
  echo
  echo "== $1"
  shift
  timeout 15 "$@" 2>&1 | head --bytes 24000
}
# cilium-dbg expects the agent's socket here; /host/var/run would resolve to this pod's own /run.
rm -rf /var/run/cilium && ln -s /host/run/cilium /var/run/cilium
files() {
  for file in "/host$CNI_CONFIG"/*; do
    echo "-- ${file#/host}"
    # Prints only CNI files: a kubeconfig contains credentials.
    case $file in *.conf | *.conflist | *.cilium_bak) cat "$file" ;; esac
  done
}
export -f files

date --utc
section "Cilium's agent" cilium-dbg status --verbose
section 'endpoints' cilium-dbg endpoint list
section 'drops, by reason' cilium-dbg metrics list --match-pattern 'drop|forward'
section 'CNI files' bash -c files
section 'links' ip -s -d link
section 'addresses' ip -4 -brief address
section 'routes' ip -4 route show table all
section 'rules' ip -4 rule
section 'chains' bash -c "iptables-save --counters | grep -E '^\*|^:|FLANNEL|CILIUM|CNI-|cali-|DROP|REJECT' | head -400"
section 'listening on UDP' bash -c 'cat /proc/net/udp'
section 'connection tracking' bash -c 'cat /proc/sys/net/netfilter/nf_conntrack_{count,max}'
