/** Workflows in the worker's bundle, by the name that starts each. */
export { clusterMigration } from './cluster/cluster-migration.ts';
export { clusterPolicyReport } from './cluster/policy-report.ts';
export { clusterPreflight } from './cluster/preflight.ts';
export { fleetMigration } from './fleet/fleet-migration.ts';
export { nodeMigration } from './node/node-migration.ts';
export { nodeRollback } from './node/node-rollback.ts';
/** Runs for every other name. */
export { default } from './unknown-workflow.ts';
