import { cancelled, heartbeat } from '@temporalio/activity';
import { ApplicationFailure } from '@temporalio/common';
import type { FailureType } from '../../model/failure-types.ts';
import type { fakeCluster } from './fake-cluster.ts';

/** Called by a fake cluster before each activity. */
type Before = NonNullable<NonNullable<Parameters<typeof fakeCluster>[0]>['before']>;

/** An activity of which every attempt fails for a reason that may pass, until a test repairs it. */
export class FailingActivity {
  /** Number of attempts so far, by node; of the whole cluster, by the empty name. */
  readonly attempts = new Map<string, number>();
  private readonly step: string;
  private readonly type: FailureType;
  private readonly message: string;
  private readonly heldAttempt: number;
  private isRepaired = false;
  private release: () => void = () => undefined;
  private readonly released = new Promise<void>((resolve) => (this.release = resolve));

  /**
   * @param step name of the activity, for any node; or the name, a space and the name of the node.
   * @param heldAttempt the attempt that is held until a test continues it, and those after it. @default none
   */
  constructor(step: string, type: FailureType, { message = 'the reason', heldAttempt = Infinity } = {}) {
    this.step = step;
    this.type = type;
    this.message = message;
    this.heldAttempt = heldAttempt;
  }

  /** Number of attempts so far, of all nodes. */
  get total(): number {
    return [...this.attempts.values()].reduce((sum, count) => sum + count, 0);
  }

  readonly before: Before = async (activity, node = '') => {
    if (this.isRepaired || (this.step !== activity && this.step !== `${activity} ${node}`)) return;
    const attempt = (this.attempts.get(node) ?? 0) + 1;
    this.attempts.set(node, attempt);
    if (attempt >= this.heldAttempt) {
      const beat = setInterval(() => heartbeat(), 50);
      await Promise.race([this.released, cancelled()]).finally(() => clearInterval(beat));
    }
    throw ApplicationFailure.retryable(this.message, this.type);
  };

  /** Continues the held attempt. */
  continue(): void {
    this.release();
  }

  /** Lets the next attempt succeed. */
  repair(): void {
    this.isRepaired = true;
    this.release();
  }
}
