import { failure } from '../support/failures.ts';
import type { Clusters } from '../kubernetes/connection.ts';
import { ifFound, statusOf, withFailures } from '../kubernetes/errors.ts';
import { ciliumNamespace as namespace, lockName, ownedLabels } from '../kubernetes/names.ts';

/** Which run of which migration wants the cluster. */
export interface LockHolder {
  cluster: string;
  workflowId: string;
  /** Run ID of the first run, which stays the same when a long run hands over to the next. */
  runId: string;
}

/** Whether that run is open; undefined when this Temporal namespace does not know it. */
export type IsOpen = (workflowId: string, runId: string) => Promise<boolean | undefined>;

/** The activities on the lock: a Lease in the cluster, against migrations under another workflow ID or another server. */
export function createLockActivities(clusters: Clusters, isOpen: IsOpen) {
  return {
    /**
     * Takes the lock; one whose holder has ended is taken over.
     * @throws MigrationRunning when another migration holds it.
     */
    acquireLock: withFailures('lock the cluster', async ({ cluster, ...holder }: LockHolder): Promise<void> => {
      const { coordination } = await clusters.connect(cluster);
      const holderIdentity = `${holder.workflowId} ${holder.runId}`;
      const lease = await ifFound(coordination.readNamespacedLease({ name: lockName, namespace }));
      if (lease?.spec?.holderIdentity === holderIdentity) return;
      await requireEnded(lease?.spec?.holderIdentity ?? '', isOpen);
      const body = leaseOf(holderIdentity, lease?.metadata?.resourceVersion);
      try {
        await (lease === undefined
          ? coordination.createNamespacedLease({ namespace, body })
          : coordination.replaceNamespacedLease({ name: lockName, namespace, body }));
      } catch (error) {
        if (statusOf(error) !== 409) throw error;
        throw failure('MigrationRunning', `another migration takes the Lease ${namespace}/${lockName} just now`, {
          retryable: true,
        });
      }
    }),

    /** Gives the lock back, if it is this run's. */
    releaseLock: withFailures('unlock the cluster', async ({ cluster, ...holder }: LockHolder): Promise<void> => {
      const { coordination } = await clusters.connect(cluster);
      const lease = await ifFound(coordination.readNamespacedLease({ name: lockName, namespace }));
      if (lease?.spec?.holderIdentity !== `${holder.workflowId} ${holder.runId}`) return;
      const preconditions = lease.metadata?.uid === undefined ? {} : { uid: lease.metadata.uid };
      await ifFound(coordination.deleteNamespacedLease({ name: lockName, namespace, body: { preconditions } }));
    }),
  };
}

/** @throws MigrationRunning unless the run that holds the lock has ended, or nobody holds it. */
async function requireEnded(holderIdentity: string, isOpen: IsOpen): Promise<void> {
  const [workflowId = '', runId = ''] = holderIdentity.split(' ');
  if (runId === '') return;
  const open = await isOpen(workflowId, runId);
  if (open === false) return;
  const how = open
    ? `end the workflow ${workflowId} first`
    : `this Temporal server does not know it: make sure that it is over, then delete the Lease`;
  throw failure(
    'MigrationRunning',
    `workflow ${workflowId} (run ${runId}) holds the Lease ${namespace}/${lockName}; ${how}`
  );
}

/** The Lease. @param resourceVersion of the one that it replaces: of two that take it at the same moment, one is refused. */
function leaseOf(holderIdentity: string, resourceVersion: string | undefined) {
  const metadata = { name: lockName, namespace, labels: ownedLabels };
  return {
    metadata: { ...metadata, ...(resourceVersion !== undefined && { resourceVersion }) },
    spec: { holderIdentity },
  };
}
