/** Types of workflows that operators start. */
export const startedTypes = ['clusterMigration', 'clusterPreflight', 'clusterPolicyReport', 'fleetMigration'] as const;

/** Types of workflows that only a cluster's migration starts, as its children. */
export const nodeTypes = ['nodeMigration', 'nodeRollback'] as const;

/** Types of workflows that take the lock of a cluster, and may change it while they hold it. */
export const lockingTypes = ['clusterMigration', 'clusterPreflight'] as const;

/** A type of workflow of this service. */
export type WorkflowType = (typeof startedTypes)[number] | (typeof nodeTypes)[number];

/** Returns true for a type of workflow of this service. */
export function isWorkflowType(type: string): type is WorkflowType {
  return isNodeType(type) || (startedTypes as readonly string[]).includes(type);
}

/** Returns true for a type of workflow that only a cluster's migration starts. */
export function isNodeType(type: string): type is (typeof nodeTypes)[number] {
  return (nodeTypes as readonly string[]).includes(type);
}

/** Returns true for a type of workflow that takes the lock of a cluster. */
export function isLockingType(type: string): type is (typeof lockingTypes)[number] {
  return (lockingTypes as readonly string[]).includes(type);
}
