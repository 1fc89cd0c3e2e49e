/**
 * Every `type` that a failure of this service can have. Operators' scripts and the workflows depend on these names:
 * they are never renamed. The message of a failure states what happened, where, and what to do next.
 */
export const failureTypes = [
  /** The input of a workflow is not valid. Nothing was changed. */
  'InvalidInput',
  /** No workflow type has that name. Nothing was changed. */
  'UnknownWorkflow',
  /**
   * Something that is not a migration of this service requested an activity, or an activity got an argument that is not
   * valid. Nothing was changed.
   */
  'CallerRefused',
  /** The worker cannot ask Temporal which run requests a step; retried. Nothing was changed. */
  'CallerUnknown',
  /** The run does not hold the lock of the cluster any more; the message names the holder; retried. */
  'LockLost',
  /** The worker does not know a cluster of that name. Nothing was changed. */
  'UnknownCluster',
  /** The API server does not answer, or is overloaded; retried without end. */
  'ClusterUnreachable',
  /** The API server does not accept the worker's credentials; retried, because they are renewed in place. */
  'CredentialsRejected',
  /**
   * The worker's kubeconfig, or the credentials that it names, cannot be read at the moment; retried, because a file that
   * is being replaced can be read soon.
   */
  'CredentialsUnreadable',
  /**
   * The worker's kubeconfig turns off the verification of certificates or runs a program, and its configuration does not
   * allow that; retried, because the file is read again.
   */
  'CredentialsRefused',
  /**
   * The worker lacks a permission that the step needs, which the message names, or the API server's admission refused
   * the request; retried.
   */
  'KubernetesForbidden',
  /** The API server refused an object. */
  'KubernetesInvalid',
  /** The API server returned any other error; retried. */
  'KubernetesError',
  /**
   * An error that this service does not expect, most likely a bug; the message has the error. Retried up to four times.
   */
  'UnexpectedError',
  /**
   * No authenticated user has approved the step, for this run and this plan, in the cluster; the message says how to.
   * Nothing of the step was done.
   */
  'ApprovalMissing',
  /**
   * The admission policy by which the API server verifies who creates an approval is missing or was changed; the message
   * names it. Nothing of the step was done.
   */
  'ApprovalsUnverifiable',
  /** Another migration works on the cluster. Nothing was changed. */
  'MigrationRunning',
  /**
   * In the status of a fleet: the run of a cluster's migration was terminated, timed out or deleted, so that it left no
   * result.
   */
  'MigrationTerminated',
  /**
   * The namespace of the helpers was created by someone else, or contains role bindings or pods of others, which the
   * message names. Nothing runs in it.
   */
  'ForeignNamespace',
  /** The cluster's network is not Canal (Flannel with VXLAN, and Calico for policy). Nothing was changed. */
  'SourceNotFound',
  /**
   * Several DaemonSets look like Canal in the namespaces in which it is recognised; the message names them. Nothing was
   * changed.
   */
  'SourceAmbiguous',
  /**
   * A preflight check blocks the migration; the message lists each such check with its evidence. Nothing was changed.
   */
  'PreflightBlocked',
  /**
   * The comparison of the policies needs more memory than it may use, or it has a bug; the message says which. No
   * policy was changed.
   */
  'PolicyComparisonFailed',
  /** Helm failed; retried. */
  'HelmFailed',
  /**
   * Helm rendered something other than the migration needs: the chart ignored one of our values. Or the chart has another
   * digest than the input or the worker's file requires.
   */
  'UnexpectedChart',
  /**
   * The chart, or the manifests that it renders now, differ from the plan as approved; the message has both digests. The
   * step applied nothing.
   */
  'PlanChanged',
  /** The agents of Cilium or of this service did not become ready in time. */
  'AgentNotReady',
  /** A drain did not finish in time; the message names the pods and what blocks each. */
  'DrainBlocked',
  /** A node has left the cluster or is not Ready. */
  'NodeNotReady',
  /**
   * A pod that this service runs once on a node did not run: the kubelet rejected or evicted it, or it was deleted; the
   * message has the reason of the kubelet. Retried.
   */
  'HelperPodFailed',
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
  /** Something of Canal, or of Cilium after a rollback, is left over; the message names it. Retried. */
  'CleanupIncomplete',
  /** An activity did not answer in time; the message names it and the kind of timeout. */
  'StepTimedOut',
  /** An operator terminated a node's workflow. */
  'NodeRunTerminated',
  /** A result is larger than Temporal accepts. */
  'TooLarge',
  /** A step failed for a reason that Temporal reports without a type. */
  'StepFailed',
  /** An operator rejected the plan or the cleanup. */
  'Rejected',
  /** An operator aborted the migration. */
  'Aborted',
] as const;

/** One of {@link failureTypes}. */
export type FailureType = (typeof failureTypes)[number];
