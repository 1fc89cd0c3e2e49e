import type { Migration } from './migration.ts';

/**
 * Waits until a maintenance window is open. Every phase that disturbs the cluster calls it.
 * @param isOver returns true when the step that waits for the window is not the next one any more.
 * @default it is not when the migration is paused
 * @returns false when the caller must look again: the step is not next any more, or the run must continue as new.
 */
export async function waitForWindow(
  migration: Migration,
  isOver = (): boolean => migration.status.paused !== undefined
): Promise<boolean> {
  const { windows } = migration.input;
  if (windows.length === 0) return true;
  for (;;) {
    const { waitMs } = await migration.run('untilWindow', 'check maintenance windows', { windows });
    if (waitMs === 0) return !isOver();
    const opensAtMs = Date.now() + waitMs;
    const opensAt = new Date(opensAtMs).toISOString();
    const wait = { kind: 'window' as const, key: opensAt, subject: opensAt, answers: [], deadlineMs: opensAtMs };
    if ((await migration.until(() => wait, isOver)) !== 'deadline') return false;
  }
}
