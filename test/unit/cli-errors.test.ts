import {
  ServiceError,
  WorkflowExecutionAlreadyStartedError,
  WorkflowFailedError,
  WorkflowNotFoundError,
  WorkflowUpdateFailedError,
} from '@temporalio/client';
import { ApplicationFailure, NamespaceNotFoundError, RetryState } from '@temporalio/common';
import { CliError, describeError, exitCodes } from '../../client/cli/exit-codes.ts';
import { NoAnswerError, NoWorkerError, UnreadableAnswerError, WorkflowEndedError } from '../../client/errors.ts';
import { TemporalUnreachable } from '../../temporal/connection-config.ts';

const subject = { name: 'prod', workflowId: 'cni-migration/prod' };

/** Returns an error as the client library throws it: its own, with that of gRPC as its cause. */
function grpcError(code: number, details: string): Error {
  return new ServiceError('Failed to query Workflow', {
    cause: Object.assign(new Error(details), { code, details, metadata: {} }),
  });
}

const noAnswer = new NoAnswerError('query "status"', { timeoutMs: 5_000, consequence: 'x', mayTakeEffect: false });
const failure = ApplicationFailure.create({ message: 'the reason', type: 'Rejected' });

it.each([
  ['usage', new CliError('usage', 'use it well'), 'use it well'],
  ['notFound', new WorkflowNotFoundError('', '', undefined), 'no migration of "prod" (cni-migration/prod)'],
  ['notFound', new NamespaceNotFoundError('team'), 'no namespace "team"'],
  ['notFound', new WorkflowEndedError('cni-migration/prod', 'COMPLETED'), 'has ended (COMPLETED)'],
  ['refused', new WorkflowExecutionAlreadyStartedError('', '', ''), 'another run for "prod" is still open'],
  ['refused', new WorkflowUpdateFailedError('', failure), 'refused: the reason'],
  ['failed', new WorkflowFailedError('', failure, RetryState.NON_RETRYABLE_FAILURE), 'the reason'],
  ['unreachable', noAnswer, 'query "status" got no answer within 5 s: x'],
  ['unreachable', new UnreadableAnswerError('message "x"', new Error('no key')), 'was applied or refused'],
  ['unreachable', new NoWorkerError('queue'), 'no worker polls the task queue "queue"'],
  ['unreachable', new TemporalUnreachable('host:1', new Error('closed')), 'cannot reach Temporal at host:1: closed'],
  ['unreachable', grpcError(4, 'deadline'), 'no answer: deadline'],
  ['unreachable', grpcError(14, 'refused'), 'no answer: refused'],
  ['unreachable', grpcError(9, 'workflow task in failed state'), 'no answer: workflow task in failed state'],
  ['unreachable', grpcError(7, 'not yours'), 'Temporal rejects the request: not yours'],
  ['failed', grpcError(3, 'bad argument'), 'Failed to query Workflow: bad argument'],
  ['failed', new Error('a bug'), 'a bug'],
] as const)('exits with the code %s for %s', (code, error, text) => {
  const description = describeError(error, subject);

  expect(description.code).toBe(exitCodes[code]);
  expect(description.message).toContain(text);
});

it('names the kind of workflow that does not exist', () => {
  const fleet = { name: 'eu', workflowId: 'cni-fleet/eu' };

  const { message } = describeError(new WorkflowNotFoundError('', '', undefined), fleet);

  expect(message).toContain('no fleet "eu" (cni-fleet/eu)');
  expect(message).toContain(`"WorkflowType = 'fleetMigration'" lists fleets`);
});
