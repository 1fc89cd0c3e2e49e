#!/bin/bash
# Process 1 of a machine: creates the machine's file system, then runs its services and restarts each when it ends.
# usage: init.sh MACHINE_DIR
set -eu
dir=$1
# shellcheck source=/dev/null
. "$dir/machine.env"
hostname "$NAME"
mount --make-rprivate /

# The disk: an overlay with Debian as the lower layer and the machine's changes as the upper one.
root=$dir/root
mkdir -p "$dir"/{root,upper,work,log,services,volumes}
mount -t overlay overlay -o "lowerdir=$LAYERS,upperdir=$dir/upper,workdir=$dir/work" "$root"
mkdir -p "$root"/{proc,sys,dev,run,tmp,lib/modules,old-root}
mount -t proc proc "$root/proc"
mount -t sysfs sysfs "$root/sys"
mount --rbind /dev "$root/dev"
mount -t tmpfs tmpfs "$root/run"
mkdir -p "$root/run/lock" "$root/run/netns"
mount -t bpf bpf "$root/sys/fs/bpf"
if [ -z "${CGROUP_V1:-}" ]; then
  mount -t cgroup2 cgroup2 "$root/sys/fs/cgroup"
  # A control group with children cannot contain processes.
  mkdir -p "$root/sys/fs/cgroup/init"
  echo 1 > "$root/sys/fs/cgroup/init/cgroup.procs"
  for controller in $(cat "$root/sys/fs/cgroup/cgroup.controllers"); do
    echo "+$controller" > "$root/sys/fs/cgroup/cgroup.subtree_control"
  done
else
  # The same hierarchies as on the host (one line each: mount point and options), rooted at the machine's own group.
  known='cpu|cpuacct|cpuset|memory|devices|freezer|blkio|pids|hugetlb|perf_event|net_cls|net_prio'
  mount -t tmpfs tmpfs "$root/sys/fs/cgroup"
  while read -r target options; do
    controllers=$(echo "$options" | tr , '\n' | grep -xE "$known" | paste -sd,)
    [ -n "$controllers" ] || continue
    mkdir -p "$root/sys/fs/cgroup/$(basename "$target")"
    mount -t cgroup -o "$controllers" cgroup "$root/sys/fs/cgroup/$(basename "$target")"
  done <<< "$CGROUP_V1"
fi

# Folders that are mounted at the same path inside and outside: tools and keys, read-only; folders shared with other
# machines; the machine's own folder; and volumes for folders that must not be on an overlay, because overlays are mounted
# from them.
for shared in $READ_ONLY; do
  mkdir -p "$root$shared"
  mount --bind "$shared" "$root$shared"
  mount -o remount,bind,ro "$root$shared"
done
for pair in $SHARED; do
  mkdir -p "$root${pair%%=*}"
  mount --bind "${pair#*=}" "$root${pair%%=*}"
done
mkdir -p "$root$dir"
mount --bind "$dir" "$root$dir"
for volume in $VOLUMES; do
  mkdir -p "$dir/volumes$volume" "$root$volume"
  mount --bind "$dir/volumes$volume" "$root$volume"
done

# kubelet and Cilium's agent set these for the whole host (one of them irrevocably), and kubelet exits when it cannot. Files
# with the expected values are mounted over them, so that the host's settings do not change.
settings=$root/run/kernel-settings
mkdir -p "$settings"
override() {
  echo "$2" > "$settings/$(basename "$1")"
  mount --bind "$settings/$(basename "$1")" "$root/proc/sys/$1"
}
override vm/overcommit_memory 1
override vm/panic_on_oom 0
override kernel/panic 10
override kernel/panic_on_oops 1
override kernel/keys/root_maxkeys 1000000
override kernel/keys/root_maxbytes 25000000
override kernel/timer_migration 0
override kernel/unprivileged_bpf_disabled 1
# The host's kernel does not restart when a machine reboots; kubelet reports this value as the node's boot ID.
override kernel/random/boot_id "$(cat /proc/sys/kernel/random/uuid)"

printf '127.0.0.1 localhost\n%s %s\n' "${ADDRESS%/*}" "$NAME" > "$root/etc/hosts"
echo "$NAME" > "$root/etc/hostname"
: > "$root/etc/resolv.conf"

cd "$root"
pivot_root . old-root
umount -l /old-root
cd /
mount --make-rshared /
set +e

# These settings belong to the machine's network namespace.
sysctl -qw net.ipv4.ip_forward=1 net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.default.rp_filter=0

touch "$dir/booted"
export PATH=$BIN:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
run_service() {
  while :; do
    "$1" >> "$dir/log/$(basename "$1").log" 2>&1
    echo "$(date -Is) $(basename "$1") ended with code $?" >> "$dir/log/init.log"
    sleep 1
  done
}
for service in "$dir"/services/*; do
  [ -x "$service" ] && run_service "$service" &
done
wait
