#!/bin/sh
# Entry point of calico-node for Canal: without BGP, confd and bird are not needed.
set -eu
cd /
calico-node -startup
if [ -f startup.env ]; then . ./startup.env; fi
calico-node -monitor-token &
exec calico-node -felix
