#!/bin/bash
# Runs commands in a node of its own: network, processes and files. Usage: host-sandbox.sh FOLDER, with the commands on stdin,
# and the folder's "host" as the root of the node. Scripts run with the programs of this machine, or with those of the root
# file system whose layers are in $LAYERS. The commands may use these functions.
set -eu
folder=$1
host=$folder/host
export PATH=$PATH:/usr/sbin:/sbin

ip link set lo up
root=$folder/root
mkdir -p "$root" "$host/proc"
if [ -n "${LAYERS:-}" ]; then
  mkdir -p "$folder"/{upper,work}
  mount -t overlay overlay -o "lowerdir=$LAYERS,upperdir=$folder/upper,workdir=$folder/work" "$root"
  mkdir -p "$root"/{proc,dev,host,tmp}
  rm -rf "$root/dev/fd"
else
  mount -t tmpfs tmpfs "$root"
  mkdir -p "$root"/{usr,etc,proc,dev,host,tmp}
  for name in bin sbin lib lib64; do [ -e "/$name" ] && ln -s "usr/$name" "$root/$name"; done
  mount --rbind /usr "$root/usr"
  mount --rbind /etc "$root/etc"
fi
mount --rbind /proc "$root/proc"
mount --rbind "$host" "$root/host"
mount --rbind /proc "$root/host/proc"
[ -e "$root/dev/null" ] || touch "$root/dev/null"
mount --bind /dev/null "$root/dev/null"
ln -s /proc/self/fd "$root/dev/fd"

# Runs a script as in its privileged pod, prints its exit code, and its report with "report: " in front of each line.
run_script() { # usage: run_script NAME
  local code=0
  : >"$root/dev/termination-log"
  chroot "$root" /bin/bash -c "$(cat "$folder/$1.sh")" >"$folder/output" 2>&1 || code=$?
  echo "exit: $code"
  sed 's/^/report: /' "$root/dev/termination-log"
}

# Runs a command with the programs with which the scripts run.
in_root() { # usage: in_root COMMAND…
  chroot "$root" "$@"
}

# Starts a process in a network namespace of its own, as of a pod, which is connected by a link of the node.
start_pod() { # usage: start_pod LINK ADDRESS
  local own pid
  own=$(readlink /proc/self/ns/net)
  unshare --net sleep infinity >/dev/null 2>&1 &
  pid=$!
  until [ "$(readlink "/proc/$pid/ns/net")" != "$own" ]; do sleep 0.01; done
  ip link add "$1" type veth peer name eth0 netns "$pid"
  nsenter --net="/proc/$pid/ns/net" ip address add "$2/32" dev eth0
  nsenter --net="/proc/$pid/ns/net" ip link set eth0 up
  ip link set "$1" up
  echo "$pid" >"$folder/pod-$1"
}

# Ends the process of a pod; its namespace and its link end with it.
end_pod() { # usage: end_pod LINK
  kill "$(cat "$folder/pod-$1")"
  until ! ip link show "$1" >/dev/null 2>&1; do sleep 0.01; done
}

# Starts a process of a name on the node.
start_process() { # usage: start_process NAME
  cp "$(command -v sleep)" "$folder/$1"
  "$folder/$1" infinity >/dev/null 2>&1 &
}

# Prints the names of the node's links, and the paths of its files.
print_links() { ip -o link | sed -nE 's/^[0-9]+: ([^@:]+)[@:].*/link: \1/p' | grep -v ': lo$' | sort; }
print_files() { (cd "$host" && find . -path ./proc -prune -o -type f -print | sed 's|^\./|file: |' | sort); }

eval "$(cat)" </dev/null
