import {
  ActivityFailure,
  ApplicationFailure,
  CancelledFailure,
  ChildWorkflowFailure,
  ServerFailure,
  TerminatedFailure,
  TimeoutFailure,
} from '@temporalio/common';
import { failureSummary, operatorFailure } from '../../workflows/support/operator-failure.ts';

function activityFailure(cause: Error): ActivityFailure {
  return new ActivityFailure('Activity task failed', 'flipNode', '7', 'MAXIMUM_ATTEMPTS_REACHED', 'w', cause);
}

function childFailure(cause: Error): ChildWorkflowFailure {
  const execution = { workflowId: 'cni-migration/prod/node/a', runId: 'r' };
  return new ChildWorkflowFailure('default', execution, 'nodeMigration', 'RETRY_POLICY_NOT_SET', cause);
}

const timeout = (type: 'HEARTBEAT' | 'START_TO_CLOSE' | 'SCHEDULE_TO_CLOSE'): TimeoutFailure =>
  new TimeoutFailure('Activity task timed out', undefined, type);

it.each([
  [
    "an activity's own failure",
    activityFailure(ApplicationFailure.nonRetryable('no DNS', 'VerificationFailed')),
    { type: 'VerificationFailed', message: 'no DNS' },
  ],
  [
    "a child's failure",
    childFailure(ApplicationFailure.nonRetryable('node a: no DNS', 'VerificationFailed')),
    { type: 'VerificationFailed', message: 'node a: no DNS' },
  ],
  [
    'a worker that died',
    activityFailure(timeout('HEARTBEAT')),
    {
      type: 'StepTimedOut',
      message: 'the activity flipNode did not answer in time (heartbeat timeout); check the log of its worker',
    },
  ],
  [
    'an activity of a child that takes too long',
    childFailure(activityFailure(timeout('START_TO_CLOSE'))),
    {
      type: 'StepTimedOut',
      message: 'the activity flipNode did not answer in time (start-to-close timeout); check the log of its worker',
    },
  ],
  [
    'a terminated child',
    childFailure(new TerminatedFailure('terminated')),
    {
      type: 'NodeRunTerminated',
      message: 'the workflow cni-migration/prod/node/a was terminated; check the node, then retry it',
    },
  ],
  [
    'a result that Temporal refuses',
    activityFailure(new ServerFailure('Complete result exceeds size limit.', true)),
    {
      type: 'TooLarge',
      message:
        'the activity flipNode has a result that is larger than Temporal accepts: Complete result exceeds size limit.',
    },
  ],
  [
    'anything else of the server',
    activityFailure(new ServerFailure('shard lost', false)),
    { type: 'StepFailed', message: 'the activity flipNode failed: shard lost' },
  ],
])('an operator sees %s with its type', (_, error, expected) => {
  expect(failureSummary(error)).toEqual(expected);
});

it('states where a failure happened, and keeps its cause', () => {
  const error = activityFailure(ApplicationFailure.nonRetryable('no DNS', 'VerificationFailed'));

  expect(operatorFailure(error, 'node a')).toMatchObject({
    ...{ type: 'VerificationFailed', message: 'node a: no DNS', nonRetryable: true },
    cause: error,
  });
});

it.each([
  ['a bug', new TypeError('a bug')],
  ['a cancellation', new CancelledFailure('cancelled')],
  ['the cancellation of an activity', activityFailure(new CancelledFailure('cancelled'))],
])('leaves %s as it is', (_, error) => {
  expect(operatorFailure(error, 'node a')).toBe(error);
});

it('limits the length of a message in the status', () => {
  const error = ApplicationFailure.nonRetryable('x'.repeat(5_000), 'HelmFailed');

  expect(failureSummary(error).message).toHaveLength(2_000);
});
