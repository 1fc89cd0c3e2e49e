#!/bin/sh
# Creates Temporal's two databases, or updates their schemas. The connection is in the variables SQL_* of
# temporal-sql-tool.
set -eu
schemas=${TEMPORAL_SCHEMA_DIR:-/etc/temporal/schema/postgresql/v12}

setup() {
  database=$1 schema=$schemas/$2/versioned
  temporal-sql-tool --db "$database" create
  # setup-schema would start from scratch in a database with a schema, so an update is tried first.
  if temporal-sql-tool --db "$database" update-schema -d "$schema"; then return; fi
  temporal-sql-tool --db "$database" setup-schema -v 0.0
  temporal-sql-tool --db "$database" update-schema -d "$schema"
}

setup temporal temporal
setup temporal_visibility visibility
