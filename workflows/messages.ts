/**
 * Every workflow name, signal and query of this service, with their types: the contract that the client, the Temporal
 * CLI and operators' scripts rely on. Names never change; fields are only added.
 */
import { defineQuery, defineSignal } from '@temporalio/workflow';
import type { MigrationStatus } from './model/status.ts';

/** The task queue that workers of this service listen on. */
export const defaultTaskQueue = 'cni-migration';

/** The workflow ID of a cluster's migration. At most one run of an ID is open, which makes it the lock. */
export function migrationWorkflowId(cluster: string): string {
  return `cni-migration/${cluster}`;
}

/** Lets a step go on that waits for a human. */
export interface Approval {
  /** The node that may be migrated. */
  node: string;
  /** Who approves, for the record. @default unnamed */
  approver?: string;
  /** Why, for the record. @default none */
  reason?: string;
}

/**
 * Approves the migration of one node; may come before the node's turn. A wrong one (no such node, no such shape) is kept
 * in the status under `notes` and changes nothing.
 */
export const approveSignal = defineSignal<[Approval]>('approve');

/** Where the migration is: phase, nodes, what it waits for. Answers after the end too. */
export const statusQuery = defineQuery<MigrationStatus>('status');
