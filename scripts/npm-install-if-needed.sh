#!/bin/sh
# Installs the npm packages in a fresh clone, and after the lock file changed.
set -eu
if [ ! -e node_modules/.package-lock.json ] || [ package-lock.json -nt node_modules/.package-lock.json ]; then
  # To standard error, because programs read the output of some lab commands.
  echo "installing npm packages (npm ci) …" >&2
  npm ci --no-fund --no-audit --loglevel=error >&2
  # npm may give the marker an older date than the lock file, which would cause an installation on every run.
  touch node_modules/.package-lock.json
fi
