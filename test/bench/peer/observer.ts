import { forbiddenTarget, readLedger } from '../../../lab/app/ledger.ts';
import type { Lab } from '../../../lab/cluster/lab.ts';

/** Effects of a migration on users of the sample application, by the service or by hand. */
export interface UserImpact {
  /** Requests that its clients sent to permitted targets, and those that failed. */
  requests: number;
  lost: number;
  /** The failed requests as time: the sum of the failed share of each client's second at each target, in ms. */
  lostMs: number;
  /** Time during which traffic that a NetworkPolicy forbids got through, computed in the same way, in ms. */
  wrongVerdictMs: number;
  /** Recreated pods of the application, per pod. */
  restartsPerPod: number;
}

/** Watches a lab's application from outside the lab. */
export class Observer {
  private readonly lab: Lab;
  private readonly since = new Date();
  private readonly podUids = new Set<string>();
  private initialPods = 0;
  private sampling: Promise<void> = Promise.resolve();
  private timer: NodeJS.Timeout | undefined;

  constructor(lab: Lab) {
    this.lab = lab;
  }

  async start(): Promise<void> {
    await this.sample();
    this.initialPods = this.podUids.size;
    // Every pod lives longer than this interval.
    this.timer = setInterval(() => {
      this.sampling = this.sampling.then(() => this.sample()).catch(() => undefined);
    }, 3_000);
  }

  /** Stops watching, some seconds after the end of the migration. */
  async stop(): Promise<UserImpact> {
    await new Promise((resolve) => setTimeout(resolve, 3_000));
    clearInterval(this.timer);
    await this.sampling;
    const lines = await readLedger(this.lab, this.since);
    const sum = (forbidden: boolean, value: (line: { sent: number; failed: number }) => number): number =>
      lines
        .filter(({ target, sent }) => sent > 0 && (target === forbiddenTarget) === forbidden)
        .reduce((all, line) => all + value(line), 0);
    return {
      requests: sum(false, ({ sent }) => sent),
      lost: sum(false, ({ failed }) => failed),
      lostMs: Math.round(sum(false, ({ sent, failed }) => (1_000 * failed) / sent)),
      wrongVerdictMs: Math.round(sum(true, ({ sent, failed }) => (1_000 * (sent - failed)) / sent)),
      restartsPerPod: (this.podUids.size - this.initialPods) / this.initialPods,
    };
  }

  private async sample(): Promise<void> {
    const uids = await this.lab.kubectl('-n', 'shop', 'get', 'pods', '-o', 'jsonpath={.items[*].metadata.uid}');
    for (const uid of uids.split(' ').filter(Boolean)) this.podUids.add(uid);
  }
}
