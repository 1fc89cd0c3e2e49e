/**
 * The client library: starts migrations, reads their state and sends messages, with a `Client` of @temporalio/client.
 * The constants are for code that uses that client directly.
 */
export { connect, type ConnectOptions } from './connection.ts';
export { requestInterceptors } from './request-interceptors.ts';
export { NoAnswerError, NoWorkerError, UnreadableAnswerError, WorkflowEndedError } from './errors.ts';
export { Fleet } from './fleet.ts';
export { Migration, type MigrationOptions } from './migration.ts';
export type { Ending } from './workflow-requests.ts';
export {
  runPolicyReport,
  runPreflight,
  startFleet,
  startMigration,
  startRollback,
  type StartOptions,
} from './start.ts';
export { TemporalUnreachable } from '../temporal/connection-config.ts';
export * from '../workflows/operator-messages.ts';
export {
  blockersQuery,
  defaultTaskQueue,
  fleetStatusQuery,
  fleetWorkflowId,
  ledgerQuery,
  migrationWorkflowId,
  nodeQuery,
  planQuery,
  policiesQuery,
  policyReportWorkflowId,
  preflightQuery,
  preflightWorkflowId,
  statusQuery,
} from '../workflows/messages.ts';
export { searchAttributes } from '../workflows/search-attributes.ts';
export type { FleetRequest } from '../model/fleet-input.ts';
export type { FleetStatus } from '../model/fleet-status.ts';
export type { MigrationRequest } from '../model/input.ts';
export type { Messages } from '../model/message-schemas.ts';
export type { Plan } from '../model/plan.ts';
export type { PreflightReport } from '../model/preflight.ts';
export type { MigrationReport, MigrationStatus } from '../model/status.ts';
