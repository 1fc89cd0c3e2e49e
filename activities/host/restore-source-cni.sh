#!/bin/bash
# Restores a node's CNI folder for the source network: renames every file that Cilium has renamed back, and removes Cilium's
# own. Reports the resulting CNI files, one per line.
set -u
cd /host/etc/cni/net.d || exit 1
report=/dev/termination-log

for backup in *.cilium_bak; do
  [ -e "$backup" ] || continue
  name=${backup%.cilium_bak}
  # A newer file of that name was written meanwhile.
  if [ -e "$name" ]; then rm -- "$backup"; else mv -- "$backup" "$name"; fi
done
# Removed last, so that a CNI file exists at any time; while both exist, Cilium's sorts first.
rm -f 05-cilium.conflist 05-cilium.conf

for file in *.conflist *.conf *.json; do
  [ -e "$file" ] && echo "$file"
done >"$report"
exit 0
