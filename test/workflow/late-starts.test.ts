import path from 'node:path';
import { defaultPayloadConverter } from '@temporalio/common';
import { signal } from '../../workflows/messages.ts';
import { fakeCluster, waitForCancellation } from '../support/fake-cluster.ts';
import { waitFor } from '../support/interventions.ts';
import { startRun, unattendedRequest, waitForMigrationStatus } from '../support/migration-run.ts';
import { WorkflowServer } from '../support/workflow-server.ts';

/** Messages while the workflow of a node is requested but not yet started. */
const server = new WorkflowServer({ interceptors: path.join(import.meta.dirname, '../support/held-starts.ts') });
beforeAll(() => server.start());
afterAll(() => server.stop());

it('deletes a pod whose deletion was requested while the workflow of its node was started', async () => {
  const pod = 'shop/web-1';
  const forced: string[][] = [];
  const cluster = fakeCluster({
    nodes: ['a'],
    left: (_, pods) => {
      forced.push([...pods]);
      return pods.includes(pod) ? [] : [{ pod, kind: 'DisruptionBudget', reason: 'shop/web allows 0 disruptions' }];
    },
    // Only a message ends a round.
    pass: waitForCancellation,
  });
  await server.withWorker(cluster.activities, async (client, taskQueue) => {
    const run = await startRun(client, taskQueue, unattendedRequest);
    await waitForMigrationStatus(run, ({ nodes }) => nodes[0]?.state === 'migrating');

    await run.signal(signal('forcePod'), { pod });

    await waitFor(() => forced.some((pods) => pods.includes(pod)));
    expect(await run.result()).toMatchObject({ phase: 'done' });
    // The start was requested without the pod.
    const { events } = await client.workflow.getHandle(`${run.workflowId}/node/a`).fetchHistory();
    const { payloads } = events?.[0]?.workflowExecutionStartedEventAttributes?.input ?? {};
    expect(defaultPayloadConverter.fromPayload(payloads?.[0] ?? {})).toMatchObject({ forcedPods: [] });
  });
  expect(cluster.broken).toEqual([]);
});
