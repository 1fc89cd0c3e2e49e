#!/bin/sh
# Entry point of calico-node, as Canal needs it: no BGP, so no confd and no bird.
set -eu
cd /
calico-node -startup
if [ -f startup.env ]; then . ./startup.env; fi
calico-node -monitor-token &
exec calico-node -felix
