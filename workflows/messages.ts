/**
 * Names and types of all workflows, messages and queries of this service: the contract for the client, the Temporal CLI
 * and operators' scripts. Names never change; fields are only added.
 *
 * Each message is a signal, which any client can send, and an update of the same name, which returns its effect or the
 * reason for a refusal. A refused signal is kept in the status under `notes` and changes nothing.
 */
import { defineQuery, defineSignal, defineUpdate } from '@temporalio/workflow';
import type { Versioned } from '../model/api-version.ts';
import type { ClusterProgress, FleetStatus } from '../model/fleet-status.ts';
import type { Ledger } from '../model/ledger.ts';
import type { Messages } from '../model/message-schemas.ts';
import type { Plan } from '../model/plan.ts';
import type { PolicyReport } from '../model/policies.ts';
import type { CheckOutcome } from '../model/preflight.ts';
import type { NodePage } from '../model/status-view.ts';
import { keyedDigest } from '../model/keyed-digest.ts';
import type { Blocker, MigrationStatus, NodeProgress, NodeStatus } from '../model/status.ts';

/** Default task queue of this service's workers. */
export const defaultTaskQueue = 'cni-migration';

/** Returns the workflow ID of a cluster's migration. At most one run of an ID is open, which makes it the lock. */
export function migrationWorkflowId(cluster: string): string {
  return `cni-migration/${cluster}`;
}

/** Number of hexadecimal digits of a node's digest in an ID: more than enough for the nodes of one cluster. */
const nodeDigestDigits = 20;

/**
 * Returns the workflow ID of a node's migration or rollback.
 * @param migrationId workflow ID of the cluster's migration.
 * @param secret secret of the workers with encryption; the ID then contains a digest instead of the name. @default none
 */
export function nodeWorkflowId(migrationId: string, node: string, secret?: string): string {
  const name = secret === undefined ? node : keyedDigest(secret, `${migrationId}/${node}`).slice(0, nodeDigestDigits);
  return `${migrationId}/node/${name}`;
}

/** Returns the workflow ID of a fleet's migration. */
export function fleetWorkflowId(fleet: string): string {
  return `${fleetPrefix}${fleet}`;
}

/** Prefix of the workflow IDs of fleets. */
export const fleetPrefix = 'cni-fleet/';

/** Returns the workflow ID of a separate run of the preflight checks. */
export function preflightWorkflowId(cluster: string): string {
  return `cni-preflight/${cluster}`;
}

/** Returns the workflow ID of a policy comparison. */
export function policyReportWorkflowId(cluster: string): string {
  return `cni-policy/${cluster}`;
}

/** Defines a message as a signal, by its name. Where the name is fixed, use the constants of operator-messages.ts. */
export function signal<Name extends keyof Messages>(name: Name) {
  return defineSignal<[Messages[Name]]>(name);
}

/** Defines the same message as an update, which returns a text with its effect. Same rule. */
export function update<Name extends keyof Messages>(name: Name) {
  return defineUpdate<string, [Messages[Name]]>(name);
}

/**
 * State of the migration: phase, nodes, the current wait and the commands that end it. Also answered after the end. Its
 * argument is optional: a page of the nodes.
 */
export const statusQuery = defineQuery<Versioned<MigrationStatus>, [page?: NodePage | undefined]>('status');

/** The plan: waves with reasons, installed and removed components. Undefined until it is computed. */
export const planQuery = defineQuery<Versioned<Plan> | undefined>('plan');

/** Outcomes of the preflight checks, with evidence and remedies. Undefined until they have run. */
export const preflightQuery = defineQuery<CheckOutcome[] | undefined>('preflight');

/** Result of the latest policy comparison; undefined until Cilium is installed. */
export const policiesQuery = defineQuery<Versioned<PolicyReport> | undefined>('policies');

/** Measurements of every kind of path, before, during and after; those of the current stage are as of the last wave. */
export const ledgerQuery = defineQuery<Versioned<Ledger>>('ledger');

/** Blockers of the nodes in progress, per pod, with the name of the disruption budget where there is one. */
export const blockersQuery = defineQuery<(Blocker & { node: string })[]>('blockers');

/** Status of one node; undefined when there is no node of that name. */
export const nodeQuery = defineQuery<Versioned<NodeStatus> | undefined, [string]>('node');

/** Signal from a node's workflow to its cluster's: the current blockers, or that there are none. Not for operators. */
export const progressSignal = defineSignal<[NodeProgress]>('nodeProgress');

/** State of a fleet: each cluster's state, phase and nodes, the current wait and the commands that end it. */
export const fleetStatusQuery = defineQuery<Versioned<FleetStatus>>('status');

/** Signal from a cluster's workflow to its fleet's: the current progress. Not for operators. */
export const clusterProgressSignal = defineSignal<[ClusterProgress]>('clusterProgress');

/**
 * Signal from a cluster's workflow to a node's: this pod may be deleted. Operators send it to the cluster's workflow.
 */
export const forcePodSignal = defineSignal<[string]>('forcePod');

/**
 * Signal from a cluster's workflow to a node's: its steps without an attempt left are attempted again. Operators send
 * `retry` to the cluster's workflow; to this one only where that has ended and its node is not restored yet.
 */
export const retryStepSignal = defineSignal('retryStep');
