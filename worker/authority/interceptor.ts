import type { Info } from '@temporalio/activity';
import type { ActivityInterceptorsFactory } from '@temporalio/worker';
import { z } from 'zod';
import type { LockHolder } from '../../activities/cluster/lock.ts';
import { withFailures } from '../../activities/kubernetes/errors.ts';
import { clusterName, type ClusterInput } from '../../activities/kubernetes/on-cluster.ts';
import { withoutControls } from '../../model/printable.ts';
import { knownFieldProblems } from '../../model/problems.ts';
import { isWorkflowType } from '../../model/workflow-types.ts';
import { activityRules, isActivityName, type ActivityName } from './activity-rules.ts';
import { Authority, refused, type AuthorityDependencies } from './authority.ts';

/** Activities on the lock itself. */
const lockActivities: readonly ActivityName[] = ['acquireLock', 'releaseLock'];

/**
 * Creates the interceptor of all activities of a worker, local ones too. It refuses an activity that no workflow of this
 * service has requested, an argument that does not match its schema, and a change of a cluster whose lock the caller does
 * not hold.
 */
export function createAuthorityInterceptor(dependencies: AuthorityDependencies): ActivityInterceptorsFactory {
  const authority = new Authority(dependencies);
  return ({ info }) => ({
    inbound: {
      execute: async (input, next) => {
        requireWorkflow(info);
        const { name, argument } = requireArgument(info.activityType, input.args);
        await requireAuthority(authority, info, name, argument);
        return next(input);
      },
    },
  });
}

/** @throws CallerRefused for an activity that was not requested by a workflow with the name of one of this service. */
function requireWorkflow({ inWorkflow, workflowExecution, workflowType = '' }: Info): void {
  if (!inWorkflow || workflowExecution === undefined) throw refused('no workflow has requested it');
  if (isWorkflowType(workflowType)) return;
  throw refused(`a workflow of the type "${withoutControls(workflowType).slice(0, 100)}" has requested it`);
}

/**
 * Checks the argument of an activity. Fields that this build does not know are accepted, because a newer build may send
 * them, and no code of this one reads them.
 * @throws CallerRefused with one line per problem.
 */
export function requireArgument(
  activityType: string,
  args: readonly unknown[]
): { name: ActivityName; argument: object } {
  if (!isActivityName(activityType)) throw refused('this build does not know it');
  const [argument] = args;
  if (args.length !== 1 || typeof argument !== 'object' || argument === null)
    throw refused(`${activityType} has one object as its argument`);
  const problems = findProblems(activityType, argument);
  if (problems.length > 0) throw refused(`its argument is not valid:\n${problems.join('\n')}\n`);
  return { name: activityType, argument };
}

function findProblems(name: ActivityName, argument: object): string[] {
  try {
    return knownFieldProblems(schemas[name], argument, 'the argument');
  } catch (error) {
    // JSON that is nested too deeply for the parser.
    if (error instanceof RangeError) return ['the argument: is nested too deeply'];
    throw error;
  }
}

const schemas = Object.fromEntries(
  Object.entries(activityRules).map(([name, { fields }]) => [name, z.strictObject(fields) as z.ZodType])
);

/** Requires what the activity needs; it heartbeats meanwhile. */
async function requireAuthority(
  authority: Authority,
  { workflowExecution, taskQueue }: Info,
  name: ActivityName,
  argument: object
): Promise<void> {
  if (!activityRules[name].changes || workflowExecution === undefined) return;
  const caller = { ...workflowExecution, taskQueue };
  const prove = withFailures('read the lock of the cluster', () =>
    lockActivities.includes(name)
      ? authority.requireOwnLock(caller, argument as LockHolder)
      : authority.requireLock(caller, clusterName(argument as ClusterInput))
  );
  await prove();
}
