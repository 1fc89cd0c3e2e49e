/**
 * Every workflow name, message and query of this service, with their types: the contract that the client, the Temporal
 * CLI and operators' scripts rely on. Names never change; fields are only added.
 *
 * Each message is a signal, which anything can send, and an update of the same name, which answers: with what it did, or
 * with why it was refused. A signal that makes no sense is kept in the status under `notes` and changes nothing.
 */
import { defineQuery, defineSignal, defineUpdate } from '@temporalio/workflow';
import type { ClusterProgress, FleetStatus } from '../model/fleet-status.ts';
import type { Ledger } from '../model/ledger.ts';
import type { Messages } from '../model/message-schemas.ts';
import type { Plan } from '../model/plan.ts';
import type { PolicyReport } from '../model/policies.ts';
import type { CheckOutcome } from '../model/preflight.ts';
import type { Blocker, MigrationStatus, NodeProgress, NodeStatus } from '../model/status.ts';

/** The task queue that workers of this service listen on. */
export const defaultTaskQueue = 'cni-migration';

/** The workflow ID of a cluster's migration. At most one run of an ID is open, which makes it the lock. */
export function migrationWorkflowId(cluster: string): string {
  return `cni-migration/${cluster}`;
}

/** The workflow ID of a fleet's migration. */
export function fleetWorkflowId(fleet: string): string {
  return `${fleetPrefix}${fleet}`;
}

/** What the workflow IDs of fleets begin with. */
export const fleetPrefix = 'cni-fleet/';

/** The workflow ID of checks by themselves. */
export function preflightWorkflowId(cluster: string): string {
  return `cni-preflight/${cluster}`;
}

/** The workflow ID of a comparison of policies. */
export function policyReportWorkflowId(cluster: string): string {
  return `cni-policy/${cluster}`;
}

/** A message as a signal. */
export function signal<Name extends keyof Messages>(name: Name) {
  return defineSignal<[Messages[Name]]>(name);
}

/** The same message as an update. @returns what was done, in words. */
export function update<Name extends keyof Messages>(name: Name) {
  return defineUpdate<string, [Messages[Name]]>(name);
}

/** Where the migration is: phase, nodes, what it waits for and which command ends the wait. Answers after the end too. */
export const statusQuery = defineQuery<MigrationStatus>('status');

/** The plan: waves with reasons, what is installed, what is removed. Undefined until it is made. */
export const planQuery = defineQuery<Plan | undefined>('plan');

/** The checks before the migration, each with what it saw and what to do. Undefined until they have run. */
export const preflightQuery = defineQuery<CheckOutcome[] | undefined>('preflight');

/** What became of the policies when they were last looked at; undefined until Cilium is there. */
export const policiesQuery = defineQuery<PolicyReport | undefined>('policies');

/** What was measured on every kind of path, before, during and after; the stage that goes on is as of the last wave. */
export const ledgerQuery = defineQuery<Ledger>('ledger');

/** What holds up the nodes that are under way, pod by pod, with the disruption budget's name where it is one. */
export const blockersQuery = defineQuery<(Blocker & { node: string })[]>('blockers');

/** One node of the status; undefined when there is none of that name. */
export const nodeQuery = defineQuery<NodeStatus | undefined, [string]>('node');

/** From a node's workflow to its cluster's: what holds it up, or that nothing does any more. Not for operators. */
export const progressSignal = defineSignal<[NodeProgress]>('nodeProgress');

/** Where a fleet is: each cluster's state, phase and nodes, what it waits for and which command ends the wait. */
export const fleetStatusQuery = defineQuery<FleetStatus>('status');

/** From a cluster's workflow to its fleet's: where it is. Not for operators. */
export const clusterProgressSignal = defineSignal<[ClusterProgress]>('clusterProgress');

/** From a cluster's workflow to a node's: this pod may be deleted. Operators send it to the cluster's workflow. */
export const forcePodSignal = defineSignal<[string]>('forcePod');
