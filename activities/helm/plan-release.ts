/** One revision of a release, as `helm history -o json` lists it. */
export interface Revision {
  revision: number;
  /** RFC 3339 */
  updated: string;
  status: string;
  /** Text of the one who created it. */
  description?: string;
}

/** Required action before a release can be upgraded. */
export type ReleasePlan =
  /** The release can be installed or upgraded. */
  | { action: 'apply' }
  /** The release may already be as desired: compare its values. */
  | { action: 'compare' }
  /** A Helm process may be working on the release. */
  | { action: 'wait'; revision: number }
  /** The Helm process that worked on the release has died: delete its record, or every later command is refused. */
  | { action: 'forget'; revision: number };

/** Time in ms after which a Helm process counts as dead; it only has to send the objects. */
const pendingTimeoutMs = 60_000;

/**
 * Decides from a release's revisions, in any order. The result is never a rollback or an uninstall: one interrupted
 * command must not remove the network of a whole cluster. Deleting the record leaves the applied objects unchanged, and
 * the next upgrade completes them.
 * @param now in ms since the epoch.
 */
export function planRelease(history: readonly Revision[], now: number): ReleasePlan {
  const [latest] = [...history].sort((a, b) => b.revision - a.revision);
  if (latest === undefined) return { action: 'apply' };
  switch (latest.status) {
    case 'deployed':
      return { action: 'compare' };
    case 'pending-install':
    case 'pending-upgrade':
    case 'pending-rollback':
    case 'uninstalling': {
      const age = now - Date.parse(latest.updated);
      return { action: age < pendingTimeoutMs ? 'wait' : 'forget', revision: latest.revision };
    }
    default:
      // Failed, superseded, uninstalled: the next upgrade --install repairs it.
      return { action: 'apply' };
  }
}
