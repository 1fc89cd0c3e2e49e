#!/bin/sh
# Creates or updates the namespace and the search attributes that the worker needs. TEMPORAL_ADDRESS and TEMPORAL_NAMESPACE
# are those of the Temporal CLI; RETENTION is the time for which the history of a closed workflow is kept.
set -eu
namespace=${TEMPORAL_NAMESPACE:-default}

# Retries a command for two minutes, because a server that has just started or created a namespace may not be ready.
retry() {
  tries=60
  until "$@" > /dev/null 2>&1; do
    tries=$((tries - 1))
    if [ "$tries" -eq 0 ]; then
      "$@"
      return
    fi
    sleep 2
  done
}

retry temporal operator cluster health
if temporal operator namespace describe --namespace "$namespace" > /dev/null 2>&1; then
  temporal operator namespace update --namespace "$namespace" --retention "${RETENTION:-90d}"
else
  temporal operator namespace create --namespace "$namespace" --retention "${RETENTION:-90d}"
fi

retry temporal operator search-attribute list --namespace "$namespace"
known=$(temporal operator search-attribute list --namespace "$namespace")
for name in CniCluster CniNeeds CniPhase CniWaitingFor; do
  case $known in
    *"$name"*) ;;
    *) temporal operator search-attribute create --namespace "$namespace" --name "$name" --type Keyword ;;
  esac
done
