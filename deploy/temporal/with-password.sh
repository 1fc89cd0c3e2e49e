#!/bin/sh
# Runs a command with the database's password in the variables that Temporal's programs read. The password itself is in
# the file that POSTGRES_PASSWORD_FILE names, so that it is in no container's configuration.
#
# usage: with-password.sh COMMAND [ARGUMENT…]
set -eu
password=$(cat "$POSTGRES_PASSWORD_FILE")
export POSTGRES_PWD="$password" SQL_PASSWORD="$password"
exec "$@"
