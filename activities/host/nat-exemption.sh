#!/bin/bash
# Keeps traffic between the two pod networks free of address translation, for as long as it runs.
#
# What kube-proxy has marked for masquerading (node ports, and what comes from outside) is left to it: its answers have to
# come back through the node that translated the destination, and would otherwise go straight to the pod.
#
# Without it, flannel, Felix and Cilium each masquerade what goes to the other network, so that servers see a node's
# address instead of the pod's, and NetworkPolicies judge the wrong sender. Flannel and Cilium put their own rules back
# to the top again and again; so does this. usage: nat-exemption.sh SOURCE_CIDR TARGET_CIDR
set -u
chain=CNI-MIGRATION
# kube-proxy's mark, unless its --iptables-masquerade-bit was changed (kubernetes pkg/proxy/iptables).
unmarked='--match mark ! --mark 0x4000/0x4000'
source=$1 target=$2
ipt() { iptables --wait 5 --table nat "$@"; }

remove() {
  while ipt --delete POSTROUTING --jump "$chain" 2>/dev/null; do :; done
  ipt --flush "$chain" 2>/dev/null
  ipt --delete-chain "$chain" 2>/dev/null
  exit 0
}
trap remove TERM INT

ipt --new-chain "$chain" 2>/dev/null
while :; do
  wanted="-A $chain -s $source -d $target -m mark ! --mark 0x4000/0x4000 -j ACCEPT
-A $chain -s $target -d $source -m mark ! --mark 0x4000/0x4000 -j ACCEPT"
  if [ "$(ipt --list-rules "$chain" | grep '^-A')" != "$wanted" ]; then
    ipt --flush "$chain"
    ipt --append "$chain" --source "$source" --destination "$target" $unmarked --jump ACCEPT
    ipt --append "$chain" --source "$target" --destination "$source" $unmarked --jump ACCEPT
  fi
  if [ "$(ipt --list-rules POSTROUTING | grep -m1 '^-A')" != "-A POSTROUTING -j $chain" ]; then
    ipt --insert POSTROUTING 1 --jump "$chain"
    # Only the first one counts; those further down are from before others came on top.
    while [ "$(ipt --list-rules POSTROUTING | grep -c -- "-j $chain\$")" -gt 1 ]; do
      ipt --delete POSTROUTING "$(ipt --list-rules POSTROUTING | grep '^-A' | grep -n -- "-j $chain\$" | tail -1 | cut -d: -f1)"
    done
  fi
  touch /tmp/ready
  # In the background, so that a signal is acted on at once.
  sleep 0.5 &
  wait $!
done
