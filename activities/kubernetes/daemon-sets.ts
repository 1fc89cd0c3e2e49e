import type { V1DaemonSet } from '@kubernetes/client-node';

/** Returns true when every desired pod of the DaemonSet has the current template and is available. */
export function isRolledOut({ metadata, status }: V1DaemonSet): boolean {
  if (status === undefined || (status.observedGeneration ?? 0) < (metadata?.generation ?? 0)) return false;
  const wanted = status.desiredNumberScheduled;
  return wanted > 0 && (status.updatedNumberScheduled ?? 0) === wanted && (status.numberAvailable ?? 0) === wanted;
}
