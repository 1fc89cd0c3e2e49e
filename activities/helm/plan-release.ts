/** One revision of a release, as `helm history -o json` lists it. */
export interface Revision {
  revision: number;
  /** RFC 3339 */
  updated: string;
  status: string;
}

/** What to do about a release before it can be upgraded. */
export type ReleasePlan =
  /** It can be installed or upgraded. */
  | { action: 'apply' }
  /** It may be as wanted already: compare its values. */
  | { action: 'compare' }
  /** A Helm may be at work on it. */
  | { action: 'wait'; revision: number }
  /** The Helm that was at work on it has died: its record has to go, or every later command is refused. */
  | { action: 'forget'; revision: number };

/** A Helm that is at work is given this long to end, in ms: it has no more to do than to send the objects. */
const workingMs = 60_000;

/**
 * Decides from a release's revisions, newest or oldest first. Never a roll-back or an uninstall: the network of a whole
 * cluster is not taken back because one command was cut short. Forgetting the record leaves what was applied as it is,
 * and the next upgrade makes it whole.
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
      return { action: age < workingMs ? 'wait' : 'forget', revision: latest.revision };
    }
    default:
      // Failed, superseded, uninstalled: the next upgrade --install makes it good.
      return { action: 'apply' };
  }
}
