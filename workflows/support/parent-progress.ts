import {
  CancellationScope,
  getExternalWorkflowHandle,
  sleep,
  workflowInfo,
  type SignalDefinition,
} from '@temporalio/workflow';

/** Options of {@link ParentProgress}. */
interface ParentProgressOptions {
  /**
   * Minimum time between two reports, in ms. Changes in between are held back; the newest is sent afterwards.
   * @default 0
   */
  minIntervalMs?: number;
}

/** A report that was not sent yet. */
interface Report<Progress> {
  progress: Progress;
  key: string;
}

/**
 * Reports the progress of a workflow to its parent: only what changed, one signal after the other, so that the last
 * signal is the latest. The parent is found by its workflow ID, so reports also reach it after it continued as new.
 */
export class ParentProgress<Progress> {
  private readonly signal: SignalDefinition<[Progress]>;
  private readonly minIntervalMs: number;
  /** Key of the last report that was sent. */
  private sentKey: string | undefined;
  private nextReportMs = 0;
  private heldBack: Report<Progress> | undefined;
  private isTimerRunning = false;
  private sending: Promise<void> = Promise.resolve();

  /**
   * @param initialKey key of the progress that the parent assumes before the first report.
   * @default every first report is sent
   */
  constructor(
    signal: SignalDefinition<[Progress]>,
    initialKey?: string,
    { minIntervalMs = 0 }: ParentProgressOptions = {}
  ) {
    this.signal = signal;
    this.minIntervalMs = minIntervalMs;
    this.sentKey = initialKey;
  }

  /**
   * Sends the progress when it has changed, as soon as the interval allows it. Does nothing in a workflow without a
   * parent.
   * @param key text that changes with each progress that is worth an event in the parent's history.
   * @default the progress itself
   */
  report(progress: Progress, key = JSON.stringify(progress)): void {
    if (workflowInfo().parent === undefined) return;
    this.heldBack = key === this.sentKey ? undefined : { progress, key };
    if (this.heldBack === undefined || this.isTimerRunning) return;
    const waitMs = this.nextReportMs - Date.now();
    if (waitMs <= 0) this.sendHeldBack();
    else void this.sendAfter(waitMs);
  }

  /**
   * Sends what is held back, and waits until the parent has all reports. Call it before the workflow continues as new:
   * the next run does not know what was held back.
   */
  async flush(): Promise<void> {
    this.sendHeldBack();
    await this.sending;
  }

  /**
   * Sends a last report at once, and waits until the parent has it. Call it when the workflow ends, with any
   * result, also when it was cancelled.
   */
  async end(progress: Progress): Promise<void> {
    if (workflowInfo().parent === undefined) return;
    this.heldBack = { progress, key: JSON.stringify(progress) };
    await this.flush();
  }

  private async sendAfter(ms: number): Promise<void> {
    this.isTimerRunning = true;
    // A cancelled step of the workflow must not lose a report.
    await CancellationScope.nonCancellable(() => sleep(ms, { summary: 'wait to report to the parent' }));
    this.isTimerRunning = false;
    this.sendHeldBack();
  }

  private sendHeldBack(): void {
    const { heldBack } = this;
    const { parent } = workflowInfo();
    if (heldBack === undefined || parent === undefined) return;
    this.heldBack = undefined;
    this.sentKey = heldBack.key;
    this.nextReportMs = Date.now() + this.minIntervalMs;
    const handle = getExternalWorkflowHandle(parent.workflowId);
    // Errors are ignored, because a parent that has ended needs no progress.
    this.sending = this.sending.then(() =>
      CancellationScope.nonCancellable(() => handle.signal(this.signal, heldBack.progress)).catch(() => undefined)
    );
  }
}
