import { failure } from '../support/failures.ts';
import { ifFound, httpStatus } from '../kubernetes/errors.ts';
import type { ClusterConnection } from '../kubernetes/connection.ts';
import type { OnCluster } from '../kubernetes/on-cluster.ts';
import { ciliumNamespace as namespace, lockName, ownedLabels } from '../kubernetes/names.ts';

/** A migration run that requests the lock of a cluster. */
export interface LockHolder {
  cluster: string;
  workflowId: string;
  /** Run ID of the first run, which stays the same across continue-as-new. */
  runId: string;
}

/** Returns the text that names a run in the Lease. */
export function formatHolder({ workflowId, runId }: Omit<LockHolder, 'cluster'>): string {
  return `${workflowId} ${runId}`;
}

/** Returns the run that the text of a Lease names; undefined when it names none. */
export function parseHolder(text: string): Omit<LockHolder, 'cluster'> | undefined {
  const [workflowId = '', runId = ''] = text.split(' ');
  return runId === '' ? undefined : { workflowId, runId };
}

/** Returns what the Lease of the cluster names as its holder; an empty text when it names nothing, or does not exist. */
export async function readLockHolder({ coordination }: ClusterConnection): Promise<string> {
  const lease = await ifFound(coordination.readNamespacedLease({ name: lockName, namespace }));
  return lease?.spec?.holderIdentity ?? '';
}

/** Returns true when that run is open; undefined when this Temporal namespace does not know it. */
export type IsOpen = (workflowId: string, runId: string) => Promise<boolean | undefined>;

/**
 * Creates the activities on the lock: a Lease in the cluster, which excludes migrations under another workflow ID or on
 * another server.
 */
export function createLockActivities(onCluster: OnCluster, isOpen: IsOpen) {
  return {
    /**
     * Acquires the lock. A lock whose holder has ended is taken over.
     * @throws MigrationRunning when another migration holds it.
     */
    acquireLock: onCluster(
      'lock the cluster',
      async ({ coordination }, { cluster, ...holder }: LockHolder): Promise<void> => {
        const holderIdentity = formatHolder(holder);
        const lease = await ifFound(coordination.readNamespacedLease({ name: lockName, namespace }));
        if (lease?.spec?.holderIdentity === holderIdentity) return;
        await requireEnded(lease?.spec?.holderIdentity ?? '', isOpen);
        const body = buildLease(holderIdentity, lease?.metadata?.resourceVersion);
        try {
          await (lease === undefined
            ? coordination.createNamespacedLease({ namespace, body })
            : coordination.replaceNamespacedLease({ name: lockName, namespace, body }));
        } catch (error) {
          if (httpStatus(error) !== 409) throw error;
          throw failure('MigrationRunning', `another migration takes the Lease ${namespace}/${lockName} just now`, {
            retryable: true,
          });
        }
      }
    ),

    /** Releases the lock if this run holds it. */
    releaseLock: onCluster(
      'unlock the cluster',
      async ({ coordination }, { cluster, ...holder }: LockHolder): Promise<void> => {
        const lease = await ifFound(coordination.readNamespacedLease({ name: lockName, namespace }));
        if (lease?.spec?.holderIdentity !== formatHolder(holder)) return;
        const preconditions = lease.metadata?.uid === undefined ? {} : { uid: lease.metadata.uid };
        await ifFound(coordination.deleteNamespacedLease({ name: lockName, namespace, body: { preconditions } }));
      }
    ),
  };
}

/**
 * Checks that the run that holds the lock has ended, or that there is no holder.
 * @throws MigrationRunning when it has not ended.
 */
async function requireEnded(holderIdentity: string, isOpen: IsOpen): Promise<void> {
  const holder = parseHolder(holderIdentity);
  if (holder === undefined) return;
  const { workflowId, runId } = holder;
  const open = await isOpen(workflowId, runId);
  if (open === false) return;
  const advice = open
    ? `end the workflow ${workflowId} first`
    : `this Temporal server does not know it: make sure that it is over, then delete the Lease`;
  throw failure(
    'MigrationRunning',
    `workflow ${workflowId} (run ${runId}) holds the Lease ${namespace}/${lockName}; ${advice}`
  );
}

/**
 * Builds the Lease.
 * @param resourceVersion version of the Lease that it replaces: of two concurrent acquisitions, one is refused.
 */
function buildLease(holderIdentity: string, resourceVersion: string | undefined) {
  const metadata = { name: lockName, namespace, labels: ownedLabels };
  return {
    metadata: { ...metadata, ...(resourceVersion !== undefined && { resourceVersion }) },
    spec: { holderIdentity },
  };
}
