#!/bin/sh
# Makes Temporal's two databases and brings their schemas up to date, as often as it is run. The connection is in the
# variables SQL_* of temporal-sql-tool.
set -eu
schemas=${TEMPORAL_SCHEMA_DIR:-/etc/temporal/schema/postgresql/v12}

setup() {
  database=$1 schema=$schemas/$2/versioned
  temporal-sql-tool --db "$database" create
  # Of a database that has a schema, this would begin anew; what can be brought up to date has one.
  if temporal-sql-tool --db "$database" update-schema -d "$schema"; then return; fi
  temporal-sql-tool --db "$database" setup-schema -v 0.0
  temporal-sql-tool --db "$database" update-schema -d "$schema"
}

setup temporal temporal
setup temporal_visibility visibility
