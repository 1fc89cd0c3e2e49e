/**
 * Every `type` that a failure of this service can carry. Operators' scripts and the workflows branch on them, so they
 * are never renamed. The message of a failure says what happened, where, and what to do next.
 */
export const failureTypes = [
  /** The input of a workflow is not what it must be. Nothing was changed. */
  'InvalidInput',
  /** The worker's kubeconfig has no context of that name. Nothing was changed. */
  'UnknownCluster',
  /** The API server does not answer, or does not let the worker in. */
  'ClusterUnreachable',
  /** The worker lacks a permission that the step needs. */
  'KubernetesForbidden',
  /** The API server refused an object. */
  'KubernetesInvalid',
  /** Any other answer of the API server, or none; retried. */
  'KubernetesError',
  /** Another migration works on the cluster. Nothing was changed. */
  'MigrationRunning',
  /** The cluster's network is not Canal (Flannel with VXLAN, and Calico for policy). Nothing was changed. */
  'SourceNotFound',
  /** A check before the migration blocks it; the message names each with its evidence. Nothing was changed. */
  'PreflightBlocked',
  /** Helm ended with an error. */
  'HelmFailed',
  /** What Helm rendered is not what the migration needs: the chart ignored one of our values. */
  'UnexpectedChart',
  /** Cilium's agents, or one of ours, did not become ready in time. */
  'AgentNotReady',
  /** A node did not become empty in time; the message names the pods and what holds each. */
  'DrainBlocked',
  /** A node is gone or not Ready. */
  'NodeNotReady',
  /** A pod got an address of the wrong network. */
  'WrongNetwork',
  /** A path that must work does not. */
  'VerificationFailed',
  /** A path was without an answer for longer than is tolerated, or something that was asked outside objects. */
  'GateBreached',
  /** A node was not rebooted in time. */
  'RebootMissing',
  /** Calico's objects could not be exported, so that nothing was removed. */
  'ExportFailed',
  /** Something of Canal's, or of Cilium's after a roll-back, is still there; the message names it. */
  'CleanUpIncomplete',
  /** A human refused the plan or the clean-up. */
  'Rejected',
  /** A human ended the migration. */
  'Aborted',
] as const;

/** One of {@link failureTypes}. */
export type FailureType = (typeof failureTypes)[number];
