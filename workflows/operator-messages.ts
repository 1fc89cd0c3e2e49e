/**
 * The messages of operators as constants, for every client in TypeScript: each as a signal and as an update of the same
 * name. An update returns its effect, or fails with the reason for its refusal; a signal needs no worker, and returns
 * nothing. Names never change.
 */
import { defineSignal, defineUpdate } from '@temporalio/workflow';
import type { fleetMessageSchemas, FleetMessageName } from '../model/fleet-messages.ts';
import type { Messages } from '../model/message-schemas.ts';

/** Approves a node, a wave, the plan, the cutover or the cleanup. */
export const approveSignal = defineSignal<[Messages['approve']]>('approve');
export const approveUpdate = defineUpdate<string, [Messages['approve']]>('approve');

/** Rejects a node, a wave, the plan, the cutover or the cleanup. */
export const rejectSignal = defineSignal<[Messages['reject']]>('reject');
export const rejectUpdate = defineUpdate<string, [Messages['reject']]>('reject');

/** Starts nothing new. */
export const pauseSignal = defineSignal<[Messages['pause']]>('pause');
export const pauseUpdate = defineUpdate<string, [Messages['pause']]>('pause');

/** Continues after a pause. */
export const resumeSignal = defineSignal<[Messages['resume']]>('resume');
export const resumeUpdate = defineUpdate<string, [Messages['resume']]>('resume');

/** Skips a node, or a step of the whole cluster whose answers contain that. */
export const skipSignal = defineSignal<[Messages['skip']]>('skip');
export const skipUpdate = defineUpdate<string, [Messages['skip']]>('skip');

/** Retries a node that failed, was skipped or rolled back; or steps that have no attempt left. */
export const retrySignal = defineSignal<[Messages['retry']]>('retry');
export const retryUpdate = defineUpdate<string, [Messages['retry']]>('retry');

/** Rolls one node, or all nodes, back to Canal. */
export const rollbackSignal = defineSignal<[Messages['rollback']]>('rollback');
export const rollbackUpdate = defineUpdate<string, [Messages['rollback']]>('rollback');

/** Ends the migration. */
export const abortSignal = defineSignal<[Messages['abort']]>('abort');
export const abortUpdate = defineUpdate<string, [Messages['abort']]>('abort');

/** Changes the number of nodes per wave. */
export const setMaxConcurrencySignal = defineSignal<[Messages['setMaxConcurrency']]>('setMaxConcurrency');
export const setMaxConcurrencyUpdate = defineUpdate<string, [Messages['setMaxConcurrency']]>('setMaxConcurrency');

/** Deletes a pod that an eviction cannot move. */
export const forcePodSignal = defineSignal<[Messages['forcePod']]>('forcePod');
export const forcePodUpdate = defineUpdate<string, [Messages['forcePod']]>('forcePod');

/** Every message to a fleet by its name. */
export type FleetMessages = {
  [Name in FleetMessageName]: ReturnType<(typeof fleetMessageSchemas)[Name]['parse']>;
};

/** Fleet: allows a cluster to start. */
export const fleetApproveSignal = defineSignal<[FleetMessages['approve']]>('approve');
export const fleetApproveUpdate = defineUpdate<string, [FleetMessages['approve']]>('approve');

/** Fleet: skips a cluster. */
export const fleetSkipSignal = defineSignal<[FleetMessages['skip']]>('skip');
export const fleetSkipUpdate = defineUpdate<string, [FleetMessages['skip']]>('skip');

/** Fleet: retries a cluster that failed, was skipped or rolled back. */
export const fleetRetrySignal = defineSignal<[FleetMessages['retry']]>('retry');
export const fleetRetryUpdate = defineUpdate<string, [FleetMessages['retry']]>('retry');

/** Fleet: starts no other cluster. */
export const fleetPauseSignal = defineSignal<[FleetMessages['pause']]>('pause');
export const fleetPauseUpdate = defineUpdate<string, [FleetMessages['pause']]>('pause');

/** Fleet: continues after a pause. */
export const fleetResumeSignal = defineSignal<[FleetMessages['resume']]>('resume');
export const fleetResumeUpdate = defineUpdate<string, [FleetMessages['resume']]>('resume');

/** Fleet: starts no other cluster, and ends once the running migrations have ended. */
export const fleetAbortSignal = defineSignal<[FleetMessages['abort']]>('abort');
export const fleetAbortUpdate = defineUpdate<string, [FleetMessages['abort']]>('abort');
