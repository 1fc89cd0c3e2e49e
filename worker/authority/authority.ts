/**
 * Whether a run may do what it requests. Nothing that a caller says is believed: anyone can start a workflow of any name on
 * a task queue of their own, and request activities from the worker's. Temporal is asked what the run is, and the cluster
 * who holds its lock.
 */
import { formatHolder, parseHolder, type IsOpen, type LockHolder } from '../../activities/cluster/lock.ts';
import { ciliumNamespace, lockName } from '../../activities/kubernetes/names.ts';
import { failure } from '../../activities/support/failures.ts';
import { withoutControls } from '../../model/printable.ts';
import { isLockingType, isNodeType } from '../../model/workflow-types.ts';
import { unanswered, type ReadRun, type Run, type RunId } from './runs.ts';

/** What the proof of a caller's authority depends on. */
export interface AuthorityDependencies {
  readRun: ReadRun;
  isOpen: IsOpen;
  /** Reads the holder in the Lease of a cluster; an empty text without one. */
  readHolder: (cluster: string) => Promise<string>;
}

/** The run that requests an activity, and the task queue of the worker. */
export interface Caller extends RunId {
  taskQueue: string;
}

/** Maximum length of a name in a failure, in characters. */
const maxQuoted = 200;

/** Proves that a run may change a cluster. */
export class Authority {
  private readonly dependencies: AuthorityDependencies;

  constructor(dependencies: AuthorityDependencies) {
    this.dependencies = dependencies;
  }

  /**
   * Requires that the cluster's migration of which the caller is a part holds the lock of the cluster: the Lease is read
   * each time, so that a lost lock is noticed at the start of the next attempt of an activity.
   * @throws CallerRefused when the caller is not a part of a migration of this service.
   * @throws LockLost (retryable) when another one, or none, holds the lock.
   */
  async requireLock(caller: Caller, cluster: string): Promise<void> {
    const run = await this.requireOwn(caller, caller);
    const migration = isNodeType(run.workflowType) ? await this.requireParent(run, caller) : run;
    const holder = await this.dependencies.readHolder(cluster);
    if (holder === formatHolder(identityOf(migration))) return;
    if (migration !== run && (await this.mayRestore(migration, holder))) return;
    throw lockLost(cluster, migration, holder);
  }

  /**
   * Requires that the caller acquires or releases the lock for itself.
   * @throws CallerRefused otherwise, also when the caller continues a run that is not one of this service: only such a run
   * hands over a state that can be trusted.
   */
  async requireOwnLock(caller: Caller, { cluster, ...holder }: LockHolder): Promise<void> {
    const run = await this.requireOwn(caller, caller);
    const identity = formatHolder(identityOf(run));
    if (!isLockingType(run.workflowType)) throw refused(`a ${quote(run.workflowType)} takes no lock`);
    if (formatHolder(holder) !== identity) throw refused(`it names another run than its own, ${quote(identity)}`);
    if (run.runId === run.firstRunId || (await this.dependencies.readHolder(cluster)) === identity) return;
    await this.requireOwn({ workflowId: run.workflowId, runId: run.firstRunId }, caller);
  }

  /** Returns a run that executes the code of this service: it has one of our types, and the task queue of the worker. */
  private async requireOwn(id: RunId, { taskQueue }: Caller): Promise<Run> {
    const run = await this.dependencies.readRun(id);
    const name = `the run ${quote(id.runId)} of the workflow ${quote(id.workflowId)}`;
    if (run === undefined) throw refused(`Temporal does not know ${name}`);
    const { workflowType } = run;
    if (!isLockingType(workflowType) && !isNodeType(workflowType))
      throw refused(`${name} is of the type ${quote(workflowType)}, which changes no cluster`);
    if (run.taskQueue !== taskQueue)
      throw refused(`${name} is executed on the task queue ${quote(run.taskQueue)}, not on ${quote(taskQueue)}`);
    return run;
  }

  private async requireParent(run: Run, caller: Caller): Promise<Run> {
    if (run.parent === undefined) throw refused(`the ${run.workflowType} has no migration of a cluster as its parent`);
    const parent = await this.requireOwn(run.parent, caller);
    if (!isLockingType(parent.workflowType))
      throw refused(`the parent of the ${run.workflowType} is a ${quote(parent.workflowType)}`);
    return parent;
  }

  /**
   * Returns true when a node's workflow may continue although its cluster's run does not hold the lock: that run has ended,
   * and the workflow restores its node. The next run waits for it before it does anything to that node. A run that this
   * Temporal server does not know waits for nothing.
   */
  private async mayRestore(migration: Run, holder: string): Promise<boolean> {
    const { workflowId, runId } = identityOf(migration);
    if ((await this.isOpen(workflowId, runId)) !== false) return false;
    const other = parseHolder(holder);
    return other === undefined || (await this.isOpen(other.workflowId, other.runId)) !== undefined;
  }

  private isOpen(workflowId: string, runId: string): Promise<boolean | undefined> {
    return this.dependencies.isOpen(workflowId, runId).catch((error: unknown) => {
      throw unanswered(error);
    });
  }
}

/** Returns the run as its Lease names it. */
function identityOf({ workflowId, firstRunId }: Run): RunId {
  return { workflowId, runId: firstRunId };
}

/** Returns the failure of a request that nobody but a migration of this service may send. */
export function refused(reason: string): Error {
  return failure('CallerRefused', `the worker refuses this activity: ${reason}. Start clusterMigration instead`);
}

function lockLost(cluster: string, migration: Run, holder: string): Error {
  const identity = formatHolder(identityOf(migration));
  const lease = `the Lease ${ciliumNamespace}/${lockName} of the cluster ${cluster}`;
  const problem =
    holder === ''
      ? `${lease} does not exist any more, or has no holder. If no other migration works on the cluster, create it again with holderIdentity ${quote(identity)}`
      : `${quote(holder)} holds ${lease}. End one of the two migrations; if it is the other one, set holderIdentity to ${quote(identity)}`;
  return failure('LockLost', `this run does not hold the lock of the cluster: ${problem}`, { retryable: true });
}

function quote(name: string): string {
  return JSON.stringify(withoutControls(name).slice(0, maxQuoted));
}
