#!/bin/sh
# Makes the namespace and the search attributes that the worker needs, as often as it is run. TEMPORAL_ADDRESS and
# TEMPORAL_NAMESPACE are those of the Temporal CLI; RETENTION is how long a history is kept after its workflow's end.
set -eu
namespace=${TEMPORAL_NAMESPACE:-default}

# Tries a command for two minutes: a server that has just started, or has just made a namespace, needs a moment.
patiently() {
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

patiently temporal operator cluster health
if temporal operator namespace describe --namespace "$namespace" > /dev/null 2>&1; then
  temporal operator namespace update --namespace "$namespace" --retention "${RETENTION:-90d}"
else
  temporal operator namespace create --namespace "$namespace" --retention "${RETENTION:-90d}"
fi

patiently temporal operator search-attribute list --namespace "$namespace"
known=$(temporal operator search-attribute list --namespace "$namespace")
for name in CniCluster CniPhase CniWaitingFor; do
  case $known in
    *"$name"*) ;;
    *) temporal operator search-attribute create --namespace "$namespace" --name "$name" --type Keyword ;;
  esac
done
