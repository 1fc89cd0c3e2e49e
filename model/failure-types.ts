/**
 * Every `type` that a failure of this service can have. Operators' scripts and the workflows depend on these names:
 * they are never renamed. The message of a failure states what happened, where, and what to do next.
 */
export const failureTypes = [
  /** The input of a workflow is not valid. Nothing was changed. */
  'InvalidInput',
  /** The worker's kubeconfig has no context of that name. Nothing was changed. */
  'UnknownCluster',
  /** The API server does not answer, or does not accept the worker's credentials. */
  'ClusterUnreachable',
  /** The worker lacks a permission that the step needs. */
  'KubernetesForbidden',
  /** The API server refused an object. */
  'KubernetesInvalid',
  /** The API server returned any other error, or no answer; retried. */
  'KubernetesError',
  /** Another migration works on the cluster. Nothing was changed. */
  'MigrationRunning',
  /**
   * In the status of a fleet: the run of a cluster's migration was terminated, timed out or deleted, so that it left no
   * result.
   */
  'MigrationTerminated',
  /** The cluster's network is not Canal (Flannel with VXLAN, and Calico for policy). Nothing was changed. */
  'SourceNotFound',
  /**
   * A preflight check blocks the migration; the message lists each such check with its evidence. Nothing was changed.
   */
  'PreflightBlocked',
  /** Helm failed. */
  'HelmFailed',
  /** Helm rendered something other than the migration needs: the chart ignored one of our values. */
  'UnexpectedChart',
  /** The agents of Cilium or of this service did not become ready in time. */
  'AgentNotReady',
  /** A drain did not finish in time; the message names the pods and what blocks each. */
  'DrainBlocked',
  /** A node has left the cluster or is not Ready. */
  'NodeNotReady',
  /** A pod has an address of the wrong network. */
  'WrongNetwork',
  /** A path that must work does not. */
  'VerificationFailed',
  /** A path had no answer for longer than its tolerance, or a Prometheus query or HTTP check of the gates failed. */
  'GateBreached',
  /** A node was not rebooted in time. */
  'RebootMissing',
  /** The export of Calico's objects failed; nothing was removed. */
  'ExportFailed',
  /** Objects of Canal, or of Cilium after a rollback, are left over; the message names them. */
  'CleanupIncomplete',
  /** An operator rejected the plan or the cleanup. */
  'Rejected',
  /** An operator aborted the migration. */
  'Aborted',
] as const;

/** One of {@link failureTypes}. */
export type FailureType = (typeof failureTypes)[number];
