import { readFile } from 'node:fs/promises';
import { Agent, request, type AgentOptions } from 'node:https';
import { KubeConfig } from '@kubernetes/client-node';
import type { Lab } from '../../../lab/cluster/lab.ts';
import { readProcessStat } from '../../../lab/process.ts';
import { rounded } from '../results.ts';

/** Another client that repeatedly reads one object over one connection, and records the duration of each read. */
export class Bystander {
  private readonly times: number[] = [];
  private failed = 0;
  private stopped = false;
  private readonly loop: Promise<void>;

  private constructor(read: () => Promise<number>) {
    this.loop = this.watch(read);
  }

  static async start({ layout }: Lab): Promise<Bystander> {
    const config = new KubeConfig();
    config.loadFromFile(layout.kubeconfig);
    const options: AgentOptions = { keepAlive: true, maxSockets: 1 };
    await config.applyToHTTPSOptions(options);
    const agent = new Agent(options);
    const url = `${layout.apiServer}/api/v1/namespaces/default/configmaps/kube-root-ca.crt`;
    return new Bystander(
      () =>
        new Promise((resolve, reject) => {
          const begin = performance.now();
          const call = request(url, { ...options, agent, timeout: 30_000 }, (answer) => {
            answer.resume();
            answer.once('end', () => resolve(performance.now() - begin));
          });
          call.once('timeout', () => call.destroy(new Error('no answer in 30 s')));
          call.once('error', reject);
          call.end();
        })
    );
  }

  private async watch(read: () => Promise<number>): Promise<void> {
    while (!this.stopped) {
      try {
        this.times.push(await read());
      } catch {
        this.failed++;
      }
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
  }

  /**
   * Resets the statistics.
   * @returns the statistics until now.
   */
  reset(): { requests: number; p50Ms: number; p99Ms: number; maxMs: number; failed: number } {
    const times = this.times.splice(0).sort((a, b) => a - b);
    const at = (share: number): number => rounded(times[Math.floor(times.length * share)] ?? NaN);
    const seen = { requests: times.length, p50Ms: at(0.5), p99Ms: at(0.99), maxMs: at(1 - 1e-9), failed: this.failed };
    this.failed = 0;
    return seen;
  }

  async stop(): Promise<void> {
    this.stopped = true;
    await this.loop;
  }
}

/** Resource use of processes, sampled every second. */
export class ProcessMeter {
  private readonly seconds = new Map<number, number>();
  private largest = 0;
  private readonly timer: NodeJS.Timeout;

  /** @param pids returns the IDs of the current processes. */
  constructor(pids: () => readonly number[]) {
    this.timer = setInterval(() => {
      for (const pid of pids()) void this.sample(pid);
    }, 1_000);
  }

  private async sample(pid: number): Promise<void> {
    const [stat, status] = await Promise.all([
      readProcessStat(pid),
      readFile(`/proc/${pid}/status`, 'utf8').catch(() => ''),
    ]);
    // A tick is a hundredth of a second on Linux.
    if (stat !== undefined) this.seconds.set(pid, stat.ownTicks / 100);
    this.largest = Math.max(this.largest, Number(/VmRSS:\s+(\d+)/.exec(status)?.[1] ?? 0) / 1_024);
  }

  /** @returns the total CPU time of all of them in seconds, and the largest memory of one of them, in MiB. */
  stop(): { cpuSeconds: number; memoryMiB: number } {
    clearInterval(this.timer);
    const cpuSeconds = [...this.seconds.values()].reduce((sum, seconds) => sum + seconds, 0);
    return { cpuSeconds: rounded(cpuSeconds), memoryMiB: Math.round(this.largest) };
  }
}
