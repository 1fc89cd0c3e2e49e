#!/bin/bash
# Runs one machine of a lab and reboots it whenever it stops, until the file "stop" appears in its folder.
# usage: supervise.sh MACHINE_DIR, with the settings of MACHINE_DIR/machine.env
#
# Each boot creates a new network namespace, so that links, routes and packet filters of the previous boot are lost, as after
# a reboot of real hardware; the disk (the overlay's upper folder and the volumes) is retained.
set -u
dir=$1
# shellcheck source=/dev/null
. "$dir/machine.env"

# Prints every hierarchy of a cgroup v1 or hybrid host, or the single one of a v2 host.
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

# Moves the calling shell into the machine's control group in every hierarchy.
cgroup_enter() {
  for root in $(cgroup_roots); do
    path=$root
    for part in cni-lab "$LAB" "$NAME"; do
      path=$path/$part
      mkdir -p "$path"
      # A new cpuset group has no processors and no memory, and accepts no process until some are assigned.
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

# Removes the remains of a killed supervisor.
network_down
cgroup_remove
while [ ! -e "$dir/stop" ]; do
  network_up
  rm -f "$dir/booted"
  echo "$(date -Is) boot" >> "$dir/log/boots.log"
  (
    cgroup_enter
    # "ip netns exec" hides the host's control groups behind a new /sys, so they are passed to init.sh.
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
  # The kernel removes the namespaces of a boot with process 1; control groups and links are removed here.
  network_down
  cgroup_remove
  [ -e "$dir/stop" ] || sleep 0.5
done
