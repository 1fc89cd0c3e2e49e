#!/bin/sh
# The compiler of Cilium's agent, which compiles its programs whenever it starts. All nodes of a lab have the cores of one
# machine for that, and their programs are nearly all the same: each is compiled once, one at a time, and the result is
# kept in a folder that the machine's labs share.
set -eu
cache=/var/cache/compiled
[ -d "$cache" ] || exec clang-19 "$@"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
# The agent wants the program on standard output, which ccache cannot keep; and the folder with a program's settings is
# named after the node's as well, although they say nothing in most programs.
option= settings=
for argument; do
  shift
  if [ "$option" = -o ] && [ "$argument" = - ]; then argument=$work/program; fi
  case $argument in -I*/templates/*) settings=${argument#-I} argument=-I/run/program-settings ;; esac
  option=$argument
  set -- "$@" "$argument"
done
# The log, in the node's own folder, counts what this node compiled and what it found.
export CCACHE_DIR="$cache" CCACHE_MAXSIZE=500M CCACHE_STATSLOG=/var/run/cilium/compiled.log
# An agent that gives a compilation up waits until nobody can write its errors any more: they go to a file meanwhile.
status=0
(
  flock 9
  if [ -n "$settings" ]; then ln -sfn "$settings" /run/program-settings; fi
  ccache clang-19 "$@"
) 9> "$cache/lock" 2> "$work/errors" || status=$?
cat "$work/errors" >&2
if [ -e "$work/program" ]; then cat "$work/program"; fi
exit "$status"
