#!/bin/bash
# Functions of the scripts that change a node. The worker puts them in front of each of these scripts, and sets the folders
# of the node: CNI_CONFIG, CNI_PLUGINS, and CNI_ADDRESSES, which is empty when the source's IPAM keeps no addresses.
set -u
report=/dev/termination-log
cni_config=/host$CNI_CONFIG
cni_plugins=/host$CNI_PLUGINS
cni_addresses=${CNI_ADDRESSES:+/host$CNI_ADDRESSES}

# Exit code of a script that has not changed anything, because a pod would lose its network.
refused=3

# Without one of these, a check below would find nothing, and would not protect any pod.
for tool in awk find flock grep ip nsenter readlink sed sort; do
  command -v "$tool" >/dev/null && continue
  echo "refused, nothing was removed: the image of Cilium has no $tool" >"$report"
  exit "$refused"
done

# Ends the script when its input names reasons for it, one per line.
refuse_if_any() { # usage: refuse_if_any WHAT
  local reasons
  reasons=$(cat)
  [ -z "$reasons" ] && return 0
  printf 'refused, nothing was removed: %s\n%s\n' "$1" "$reasons" | head -c 3500 >"$report"
  exit "$refused"
}

# Prints the processes with these names, after they had 30 s to end: Canal's pods have no grace period, so they leave the API
# before their processes end, and such a process would write again what is removed here.
running() { # usage: running NAME…
  local patterns=() processes
  for name in "$@"; do patterns+=(-e "$name"); done
  for _ in {1..31}; do
    # Not of this script's own pod, whose processes have other names.
    processes=$(grep --with-filename --line-regexp --fixed-strings "${patterns[@]}" /host/proc/[0-9]*/comm 2>/dev/null)
    [ -z "$processes" ] && return 0
    sleep "${POLL_SECONDS:-1}"
  done
  sed -E 's|^/host/proc/([0-9]+)/comm:(.*)|process \2 (\1)|' <<<"$processes"
}

# Prints "INDEX PEER-INDEX ADDRESSES" of each virtual interface in the network namespace of a process of the node.
pod_interfaces() {
  local own namespace
  own=$(readlink /proc/self/ns/net)
  # One process for each namespace. Processes that end meanwhile are skipped.
  find /host/proc/[0-9]*/ns/net -maxdepth 0 -printf '%l %p\n' 2>/dev/null |
    awk -v own="$own" '$1 != own && !seen[$1]++ { print $2 }' |
    while read -r namespace; do
      nsenter --net="$namespace" ip -o link show 2>/dev/null |
        sed -nE 's/^([0-9]+): ([^@:]+)@if([0-9]+):.*/\1 \3 \2/p' |
        while read -r index peer name; do
          addresses=$(nsenter --net="$namespace" ip -o address show dev "$name" scope global | awk '{ sub("/.*", "", $4); print $4 }')
          echo "$index $peer" $addresses
        done
    done
}

# Prints each link of the node that serves a pod, with the pod's addresses: a link with a route or a neighbor, or whose other
# end is in the network namespace of a process.
links_in_use() { # usage: links_in_use REGULAR-EXPRESSION
  local interfaces index name peer addresses
  interfaces=$(pod_interfaces)
  ip -o link show | sed -nE 's/^([0-9]+): ([^@:]+)@(if([0-9]+)|[^:]*):.*/\1 \2 \4/p' |
    while read -r index name peer; do
      [[ $name =~ ^($1)$ ]] || continue
      addresses=$(
        for family in -4 -6; do
          # The kernel's own routes and addresses of a link's scope do not name a pod.
          ip $family route show table all dev "$name" 2>/dev/null | grep -vE 'proto kernel|^(local|anycast|multicast) |^(fe80|ff00):' | awk '{ sub("/(32|128)$", "", $1); print $1 }'
          ip $family neighbor show dev "$name" 2>/dev/null | grep -vE 'FAILED|INCOMPLETE|NOARP|^fe80:' | awk '{ print $1 }'
        done
        awk -v index_="$index" -v peer="$peer" '$1 == peer && $2 == index_ { print "process"; for (i = 3; i <= NF; i++) print $i }' <<<"$interfaces"
      )
      [ -z "$addresses" ] && continue
      echo "link $name serves" $(grep -vx process <<<"$addresses" | sort -u)
    done
}

# Renames the CNI files that Cilium has renamed back. A newer file of the same name is kept.
restore_cni_files() {
  local backup name
  for backup in "$cni_config"/*.cilium_bak; do
    [ -e "$backup" ] || continue
    name=${backup%.cilium_bak}
    if [ -e "$name" ]; then rm -- "$backup"; else mv -- "$backup" "$name"; fi
  done
}

# Prints the names of the CNI files that are not Cilium's.
other_cni_files() {
  local file
  for file in "$cni_config"/*.conflist "$cni_config"/*.conf "$cni_config"/*.json; do
    case ${file##*/} in 05-cilium.*) continue ;; esac
    [ -e "$file" ] && echo "${file##*/}"
  done
}

# Releases the addresses that the source's IPAM keeps for pods that are gone. The runtime removes the network of a pod with
# the CNI file that is present at that time, and Cilium's plugin does not call the IPAM of the source (containerd's go-cni;
# cilium plugins/cilium-cni). The plugin's own lock is held (host-local pkg/backend/disk). A recent address may belong to a
# pod whose network is being set up, which has no route yet.
release_addresses() {
  local used
  [ -d "${cni_addresses:-/nonexistent}" ] || return 0
  (
    flock --wait 30 9 || exit 0
    used=$(links_in_use 'cali[0-9a-f]{11}' | tr ' ' '\n')
    find "$cni_addresses" -maxdepth 1 -type f -mmin +2 -printf '%f\n' | grep -E '^([0-9]+(\.[0-9]+){3}|[0-9a-f]*:[0-9a-f:]+)$' |
      grep -vxFf <(echo "$used") | while read -r address; do
        rm -- "$cni_addresses/$address" && echo "released $address"
      done
  ) 9>>"$cni_addresses/lock"
  return 0
}
