#!/bin/sh
# Entry point of the CNI installer. The installer writes the API server's address into a kubeconfig as
# https://[10.96.0.1]:443. Go since 1.25 refuses an IPv4 address in brackets, so the plugin could not read its kubeconfig.
set -eu
/opt/cni/install.real "$@"
sed -i 's#https://\[\([0-9.]*\)\]#https://\1#' /host/etc/cni/net.d/calico-kubeconfig
