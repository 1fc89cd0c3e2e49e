#!/bin/sh
# The compiler of Cilium's agent, which compiles its programs whenever it starts. All nodes of a lab share the cores of one
# machine, and most of their programs are the same: each is compiled once, one at a time, and the result is cached in a
# folder that the machine's labs share.
set -eu
cache=/var/cache/compiled
[ -d "$cache" ] || exec clang-19 "$@"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
# The agent reads the program from standard output, which ccache cannot cache. The name of the folder with a program's
# settings depends on the settings of the node, although most programs do not use these.
option= settings=
for argument; do
  shift
  if [ "$option" = -o ] && [ "$argument" = - ]; then argument=$work/program; fi
  case $argument in -I*/templates/*) settings=${argument#-I} argument=-I/run/program-settings ;; esac
  option=$argument
  set -- "$@" "$argument"
done
# The log in the node's folder counts the compilations and cache hits of this node.
export CCACHE_DIR="$cache" CCACHE_MAXSIZE=500M CCACHE_STATSLOG=/var/run/cilium/compiled.log
# An agent that cancels a compilation waits until its standard error is closed by all processes: errors go to a file first.
status=0
(
  flock 9
  if [ -n "$settings" ]; then ln -sfn "$settings" /run/program-settings; fi
  ccache clang-19 "$@"
) 9> "$cache/lock" 2> "$work/errors" || status=$?
cat "$work/errors" >&2
if [ -e "$work/program" ]; then cat "$work/program"; fi
exit "$status"
