import type { V1DaemonSet } from '@kubernetes/client-node';

/** Returns true when every desired pod of the DaemonSet has the current template and is available. */
export function isRolledOut({ metadata, status }: V1DaemonSet): boolean {
  if (status === undefined || (status.observedGeneration ?? 0) < (metadata?.generation ?? 0)) return false;
  const desired = status.desiredNumberScheduled;
  return desired > 0 && (status.updatedNumberScheduled ?? 0) === desired && (status.numberAvailable ?? 0) === desired;
}
