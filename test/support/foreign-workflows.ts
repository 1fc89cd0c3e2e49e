/**
 * Workflows of an attacker who reaches Temporal's frontend, and executes them on another task queue than the worker's. One
 * has the name of our workflow.
 */
import { ActivityFailure, executeChild, makeContinueAsNewFunc, scheduleActivity } from '@temporalio/workflow';
import type { ApplicationFailure } from '@temporalio/common';

/** What such a workflow requests from the worker of the service. */
export type ForeignRequest =
  { activity: string; argument: object } | { child: string; input: object } | { continueWith: readonly unknown[] };

const taskQueue = 'cni-migration';

/** Requests an activity, starts a child, or continues as new as a migration. Returns the failure. */
export async function clusterMigration(request: ForeignRequest): Promise<string | undefined> {
  if ('continueWith' in request) {
    const options = { workflowType: 'clusterMigration', taskQueue };
    return makeContinueAsNewFunc<(...args: unknown[]) => Promise<never>>(options)(...request.continueWith);
  }
  try {
    if ('child' in request) await executeChild(request.child, { taskQueue, args: [request.input] });
    else await requestActivity(request.activity, request.argument);
    return undefined;
  } catch (error) {
    return failureTypes(error);
  }
}

async function requestActivity(activity: string, argument: object): Promise<void> {
  const options = { taskQueue, startToCloseTimeout: '1 minute', retry: { maximumAttempts: 1 } } as const;
  await scheduleActivity(activity, [argument], options);
}

/** Another name, which no workflow of the service has. */
export function stranger(request: ForeignRequest): Promise<string | undefined> {
  return clusterMigration(request);
}

/** Returns the types of the failure and of its causes that have one. */
function failureTypes(error: unknown): string {
  const types: string[] = [];
  for (let current: unknown = error; current instanceof Error; current = current.cause) {
    const { type } = current as Partial<ApplicationFailure>;
    if (typeof type === 'string' && !(current instanceof ActivityFailure)) types.push(type);
  }
  return [...new Set(types)].join(' ');
}
