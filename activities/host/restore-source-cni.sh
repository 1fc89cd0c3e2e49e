#!/bin/bash
# Gives a node's CNI folder back to the source network: every file that Cilium set aside gets its name again, and Cilium's
# own goes. Reports the CNI files that are there at the end, one a line.
set -u
cd /host/etc/cni/net.d || exit 1
report=/dev/termination-log

for aside in *.cilium_bak; do
  [ -e "$aside" ] || continue
  name=${aside%.cilium_bak}
  # Another of that name was written meanwhile, and is newer.
  if [ -e "$name" ]; then rm -- "$aside"; else mv -- "$aside" "$name"; fi
done
# Last, so that there is a CNI file at every moment; as long as both are there, Cilium's sorts first.
rm -f 05-cilium.conflist 05-cilium.conf

for file in *.conflist *.conf *.json; do
  [ -e "$file" ] && echo "$file"
done >"$report"
exit 0
