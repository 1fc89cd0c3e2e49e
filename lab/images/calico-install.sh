#!/bin/sh
# Entry point of the CNI installer. It writes the API server's address into a kubeconfig as https://[10.96.0.1]:443,
# and Go since 1.25 refuses an IPv4 address in brackets, so that the plugin could not read its own configuration.
set -eu
/opt/cni/install.real "$@"
sed -i 's#https://\[\([0-9.]*\)\]#https://\1#' /host/etc/cni/net.d/calico-kubeconfig
