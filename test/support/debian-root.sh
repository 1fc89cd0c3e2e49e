#!/bin/bash
# Runs a program in a root file system of overlay layers, with this machine's network, until its parent ends.
# usage: debian-root.sh FOLDER LAYERS USER COMMAND…   (in a new mount and PID namespace)
set -eu
dir=$1 layers=$2 user=$3; shift 3
mkdir -p "$dir/upper" "$dir/work" "$dir/root"
mount -t overlay overlay -o "lowerdir=$layers,upperdir=$dir/upper,workdir=$dir/work" "$dir/root"
mount -t proc proc "$dir/root/proc"
mount --rbind /dev "$dir/root/dev"
mount -t tmpfs -o mode=1777 tmpfs "$dir/root/dev/shm"
mkdir -p "$dir/share" && chmod 777 "$dir/share" && mkdir -p "$dir/root/share" && mount --bind "$dir/share" "$dir/root/share"
# Runs as a child instead of replacing this shell: a process that changes its user is no longer killed with its parent. This
# shell is, and with the first process of a PID namespace, the kernel kills all others.
chroot --userspec="$user" "$dir/root" "$@" &
wait $!
