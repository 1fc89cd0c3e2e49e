#!/bin/bash
# Restores a node's CNI folder for the source network: renames every file that Cilium has renamed back, and removes Cilium's
# own. Releases the addresses of pods that are gone. Reports the resulting CNI files, one per line.
[ -d "$cni_config" ] || exit 1

restore_cni_files
# Removed last, so that a CNI file exists at any time; while both exist, Cilium's sorts first.
rm -f "$cni_config"/05-cilium.conflist "$cni_config"/05-cilium.conf
# From here on, the runtime releases the address of every pod that ends.
release_addresses

other_cni_files >"$report"
exit 0
