import { WorkflowNotFoundError, type Client } from '@temporalio/client';
import { createRunStatusCheck } from '../../worker/run-status.ts';

/** Returns a client that describes every run like this. */
function createClient(describe: () => Promise<unknown>): Client {
  return { workflow: { getHandle: () => ({ describe }) } } as unknown as Client;
}

it.each([
  ['RUNNING', true],
  ['PAUSED', true],
  ['COMPLETED', false],
  ['TERMINATED', false],
])('a run with the status %s: open is %s', async (name, isOpen) => {
  const raw = { workflowExecutionInfo: { firstRunId: 'first' } };
  const check = createRunStatusCheck(createClient(() => Promise.resolve({ status: { name }, raw })));

  expect(await check('cni-migration/prod', 'first')).toBe(isOpen);
  // The latest run of the workflow ID belongs to another migration.
  expect(await check('cni-migration/prod', 'other')).toBe(false);
});

it('does not know whether a run is open that Temporal does not know', async () => {
  const check = createRunStatusCheck(createClient(() => Promise.reject(new WorkflowNotFoundError('', '', undefined))));

  expect(await check('cni-migration/prod', 'first')).toBeUndefined();
});
