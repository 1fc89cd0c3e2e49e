import type { MigrationState } from '../../model/migration-state.ts';
import type { MigrationReport } from '../../model/status.ts';
import { statusView } from '../../model/status-view.ts';

/** Returns the result of a migration. */
export function buildReport(state: MigrationState, changed: boolean): MigrationReport {
  const { status, ledger, preflight, policies, calicoExport } = state;
  return {
    ...statusView(status),
    changed,
    ledger,
    ...(preflight && { preflight }),
    ...(policies && { policies }),
    ...(calicoExport.length > 0 && { calicoExport }),
  };
}
