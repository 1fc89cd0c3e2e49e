import type { ChildProcess } from 'node:child_process';
import type { Lab } from '../../../lab/cluster/lab.ts';
import { freePort, startWorker } from '../../../lab/cluster/temporal.ts';

interface RunningWorker {
  process: ChildProcess;
  metrics: string;
  /** Requests according to its latest metrics. */
  requests: number;
}

/** Workers that are started and killed, and their requests to the API server. */
export class WorkerPool {
  private readonly lab: Lab;
  private readonly address: string;
  private readonly all: RunningWorker[] = [];
  private readonly timers: NodeJS.Timeout[];
  /** Number of killed workers. */
  killed = 0;

  constructor(lab: Lab, address: string) {
    this.lab = lab;
    this.address = address;
    this.timers = [setInterval(() => void this.requests(), 2_000)];
  }

  async add(): Promise<void> {
    const metrics = `127.0.0.1:${await freePort()}`;
    const name = `worker-${this.all.length}`;
    const env = { CNI_MIGRATION_METRICS_ADDRESS: metrics };
    this.all.push({ process: await startWorker(this.lab, this.address, { name, env }), metrics, requests: 0 });
  }

  private running(): RunningWorker[] {
    return this.all.filter(({ process: { exitCode, signalCode } }) => exitCode === null && signalCode === null);
  }

  pids(): number[] {
    return this.running().flatMap(({ process: { pid } }) => pid ?? []);
  }

  /** Returns the number of requests of all workers; for a killed worker, until some seconds before its end. */
  async requests(): Promise<number> {
    await Promise.all(
      this.running().map(async (worker) => {
        const text = await fetch(`http://${worker.metrics}/metrics`).then(
          (answer) => answer.text(),
          () => ''
        );
        const lines = text.split('\n').filter((line) => line.startsWith('cni_migration_requests_total'));
        const sum = lines.reduce((all, line) => all + Number(line.split(' ').at(-1)), 0);
        worker.requests = Math.max(worker.requests, sum);
      })
    );
    return this.all.reduce((sum, { requests }) => sum + requests, 0);
  }

  /** Repeatedly kills the oldest worker, without time for a graceful stop, and adds another one. */
  killEvery(seconds: number, log: (line: string) => void): void {
    const kill = (): void => {
      const [oldest] = this.running();
      if (oldest === undefined) return;
      oldest.process.kill('SIGKILL');
      this.killed++;
      log(`worker ${oldest.process.pid} killed, another one started`);
      void this.add();
    };
    this.timers.push(setInterval(kill, seconds * 1_000));
  }

  /** Stops reading metrics and killing workers. The workers are stopped with the lab. */
  stop(): void {
    for (const timer of this.timers) clearInterval(timer);
  }
}
