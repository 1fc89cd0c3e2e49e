#!/bin/bash
# Runs one machine of a lab and boots it again whenever it goes down, until the file "stop" appears in its folder.
# usage: supervise.sh MACHINE_DIR, with the settings of MACHINE_DIR/machine.env
#
# A boot makes a new network namespace, so that links, routes and packet filters of the boot before are gone, as they
# are after a reboot of real hardware; the disk (the overlay's upper folder and the volumes) stays.
set -u
dir=$1
# shellcheck source=/dev/null
. "$dir/machine.env"

# Every hierarchy of a cgroup v1 or hybrid host, or the single one of a v2 host.
cgroup_roots() {
  if [ "$(stat -fc %T /sys/fs/cgroup)" = cgroup2fs ]; then
    echo /sys/fs/cgroup
  else
    findmnt -rnt cgroup -o TARGET
  fi
}

network_up() {
  ip netns add "$NETNS"
  ip link add "$PORT" netns "$SWITCH" type veth peer name eth0 netns "$NETNS"
  ip -n "$SWITCH" link set "$PORT" master br0 up
  ip -n "$NETNS" link set lo up
  ip -n "$NETNS" addr add "$ADDRESS" dev eth0
  ip -n "$NETNS" link set eth0 up
  ip -n "$NETNS" route add default via "$GATEWAY"
}

network_down() {
  ip -n "$SWITCH" link del "$PORT" 2>/dev/null
  ip netns del "$NETNS" 2>/dev/null
}

# Puts the calling shell into the machine's own control group of every hierarchy.
cgroup_enter() {
  for root in $(cgroup_roots); do
    path=$root
    for part in cni-lab "$LAB" "$NAME"; do
      path=$path/$part
      mkdir -p "$path"
      # A new cpuset group has no processors and no memory, and takes no process, until it is given some.
      if [ -e "$path/cpuset.cpus" ] && [ -e "$path/cpuset.mems" ] && [ "$(stat -fc %T "$root")" != cgroup2fs ]; then
        [ -n "$(cat "$path/cpuset.cpus")" ] || cat "$path/../cpuset.cpus" > "$path/cpuset.cpus"
        [ -n "$(cat "$path/cpuset.mems")" ] || cat "$path/../cpuset.mems" > "$path/cpuset.mems"
      fi
    done
    echo "$BASHPID" > "$path/cgroup.procs"
  done
}

cgroup_remove() {
  for root in $(cgroup_roots); do
    for _ in 1 2 3 4 5 6 7 8 9 10; do
      [ -d "$root/cni-lab/$LAB/$NAME" ] || break
      find "$root/cni-lab/$LAB/$NAME" -depth -type d -exec rmdir {} + 2>/dev/null
      [ -d "$root/cni-lab/$LAB/$NAME" ] && sleep 0.2
    done
    rmdir "$root/cni-lab/$LAB" "$root/cni-lab" 2>/dev/null
  done
}

# What a supervisor that was killed left.
network_down
cgroup_remove
while [ ! -e "$dir/stop" ]; do
  network_up
  rm -f "$dir/booted"
  echo "$(date -Is) boot" >> "$dir/log/boots.log"
  (
    cgroup_enter
    # "ip netns exec" hides the host's control groups behind a new /sys: init.sh is told which there are.
    if [ "$(stat -fc %T /sys/fs/cgroup)" != cgroup2fs ]; then
      CGROUP_V1=$(findmnt -rnt cgroup -o TARGET,FS-OPTIONS)
      export CGROUP_V1
    fi
    exec ip netns exec "$NETNS" unshare --mount --uts --ipc --pid --cgroup --fork --kill-child=KILL \
      bash "$INIT" "$dir" >> "$dir/log/init.log" 2>&1
  ) &
  echo $! > "$dir/running.pid"
  wait $!
  rm -f "$dir/running.pid"
  # Each boot's namespaces end with process 1 of the machine; control groups and links are ours to remove.
  network_down
  cgroup_remove
  [ -e "$dir/stop" ] || sleep 0.5
done
