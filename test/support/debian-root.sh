#!/bin/bash
# Runs a program in a root file system made of overlay layers, with this machine's network, and ends it with its parent.
# usage: debian-root.sh FOLDER LAYERS USER COMMAND…   (in a mount and a PID namespace of its own)
set -eu
dir=$1 layers=$2 user=$3; shift 3
mkdir -p "$dir/upper" "$dir/work" "$dir/root"
mount -t overlay overlay -o "lowerdir=$layers,upperdir=$dir/upper,workdir=$dir/work" "$dir/root"
mount -t proc proc "$dir/root/proc"
mount --rbind /dev "$dir/root/dev"
mount -t tmpfs -o mode=1777 tmpfs "$dir/root/dev/shm"
mkdir -p "$dir/share" && chmod 777 "$dir/share" && mkdir -p "$dir/root/share" && mount --bind "$dir/share" "$dir/root/share"
# Not in the place of this shell: a process that changes its user is not ended with its parent any more. This shell is, and
# as the first process of its namespace it takes all others with it.
chroot --userspec="$user" "$dir/root" "$@" &
wait $!
