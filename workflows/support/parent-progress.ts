import { getExternalWorkflowHandle, workflowInfo, type SignalDefinition } from '@temporalio/workflow';

/**
 * Reports the progress of a workflow to its parent: only what changed, one signal after the other, so that the last
 * signal is the latest.
 */
export class ParentProgress<Progress> {
  private readonly signal: SignalDefinition<[Progress]>;
  private lastKey: string | undefined;
  private reporting: Promise<void> = Promise.resolve();

  /**
   * @param initial progress that the parent assumes before the first report.
   * @default every first report is sent
   */
  constructor(signal: SignalDefinition<[Progress]>, initial?: Progress) {
    this.signal = signal;
    this.lastKey = initial === undefined ? undefined : JSON.stringify(initial);
  }

  /**
   * Sends the progress when it has changed. Does nothing in a workflow without a parent.
   * @param key text that changes with each progress that is worth an event in the parent's history.
   * @default the progress itself
   */
  report(progress: Progress, key = JSON.stringify(progress)): void {
    const { parent } = workflowInfo();
    if (parent === undefined || key === this.lastKey) return;
    this.lastKey = key;
    const handle = getExternalWorkflowHandle(parent.workflowId);
    // Errors are ignored, because a parent that has ended needs no progress.
    this.reporting = this.reporting.then(() => handle.signal(this.signal, progress).catch(() => undefined));
  }
}
