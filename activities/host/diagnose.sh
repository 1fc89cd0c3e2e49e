#!/bin/bash
# Tells what the network of a node is like, for somebody who has to find out why its migration failed. Reads only; each
# part is cut off in time and length, so that a part that hangs or floods does not cost the others.
section() {
  echo
  echo "== $1"
  shift
  timeout 15 "$@" 2>&1 | head --bytes 24000
}
# Where its command looks for the agent; /host/var/run would lead to this pod's own /run.
rm -rf /var/run/cilium && ln -s /host/run/cilium /var/run/cilium
files() {
  for file in /host/etc/cni/net.d/*; do
    echo "-- ${file#/host}"
    # A kubeconfig, or anything else than a CNI file, is nobody's business.
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
