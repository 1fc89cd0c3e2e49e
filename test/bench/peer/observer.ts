import { forbiddenTarget, readLedger } from '../../../lab/app/ledger.ts';
import type { Lab } from '../../../lab/cluster/lab.ts';

/** What users of the sample application saw of a migration, whoever made it. */
export interface Seen {
  /** Requests that its clients sent where they may, and those that failed. */
  requests: number;
  lost: number;
  /** The same as time: the share that failed of each client's second at each target, together, in ms. */
  lostMs: number;
  /** For how long, in the same way, it was let through what a NetworkPolicy forbids, in ms. */
  wrongVerdictMs: number;
  /** Pods of the application that were made anew, for each pod that it has. */
  restartsPerPod: number;
}

/** Watches a lab's application from outside the lab. */
export class Observer {
  private readonly lab: Lab;
  private readonly since = new Date();
  private readonly known = new Set<string>();
  private first = 0;
  private looking: Promise<void> = Promise.resolve();
  private timer: NodeJS.Timeout | undefined;

  constructor(lab: Lab) {
    this.lab = lab;
  }

  async start(): Promise<void> {
    await this.look();
    this.first = this.known.size;
    // A pod lives longer than that.
    this.timer = setInterval(() => {
      this.looking = this.looking.then(() => this.look()).catch(() => undefined);
    }, 3_000);
  }

  /** Ends the watch, some seconds after the migration's end. */
  async stop(): Promise<Seen> {
    await new Promise((resolve) => setTimeout(resolve, 3_000));
    clearInterval(this.timer);
    await this.looking;
    const lines = await readLedger(this.lab, this.since);
    const sum = (forbidden: boolean, of: (line: { sent: number; failed: number }) => number): number =>
      lines
        .filter(({ target, sent }) => sent > 0 && (target === forbiddenTarget) === forbidden)
        .reduce((all, line) => all + of(line), 0);
    return {
      requests: sum(false, ({ sent }) => sent),
      lost: sum(false, ({ failed }) => failed),
      lostMs: Math.round(sum(false, ({ sent, failed }) => (1_000 * failed) / sent)),
      wrongVerdictMs: Math.round(sum(true, ({ sent, failed }) => (1_000 * (sent - failed)) / sent)),
      restartsPerPod: (this.known.size - this.first) / this.first,
    };
  }

  private async look(): Promise<void> {
    const uids = await this.lab.kubectl('-n', 'shop', 'get', 'pods', '-o', 'jsonpath={.items[*].metadata.uid}');
    for (const uid of uids.split(' ').filter(Boolean)) this.known.add(uid);
  }
}
