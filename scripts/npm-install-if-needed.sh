#!/bin/sh
# Makes `npm run demo` and `npm test` work from a fresh clone, and after the lock file changed.
set -eu
if [ ! -e node_modules/.package-lock.json ] || [ package-lock.json -nt node_modules/.package-lock.json ]; then
  # On standard error, because programs read what some commands of the lab print.
  echo "installing npm packages (npm ci) …" >&2
  npm ci --no-fund --no-audit --loglevel=error >&2
  # npm may give the marker an older date than the lock file; without this, every run would install again.
  touch node_modules/.package-lock.json
fi
