import { readdir, readFile } from 'node:fs/promises';
import { readProcessStat } from '../../../lab/process.ts';
import { median, rounded } from '../results.ts';

/** Use of the machine's processors over a period. Shares are of the time of all processors, 0 to 1. */
export interface ProcessorUse {
  idle: number;
  /** Share in the kernel, mostly for packets. */
  kernel: number;
  /** Number of processes that ran or waited for a processor: the median of all samples. */
  runnable: number;
  /**
   * Share by program, as the kernel names it; `(compilers)` are the processes that Cilium's agents start to compile
   * programs.
   */
  programs: Record<string, number>;
}

/** Processor time so far, in ticks of the kernel's clock. */
interface Ticks {
  all: number;
  idle: number;
  kernel: number;
}

/** Programs whose time is counted with the agent that waits for them. */
const compilers = ['clang', 'llc', 'ld.lld'];
const agent = 'cilium-agent';
const compiling = '(compilers)';

/** Names of Node.js processes: the worker and the bench. */
const nodeNames = ['MainThread', 'node'];

const sampleIntervalMs = 3_000;

/** Maximum number of reported programs, those with the largest shares. */
const maxPrograms = 10;

/** Measures the use of the machine's processors. */
export class ProcessorWatch {
  private initialTicks: Ticks | undefined;
  private readonly runnable: number[] = [];
  /** Latest ticks of each process, and its ticks when it was first seen or started. */
  private readonly processes = new Map<string, { program: string; first: number; last: number }>();
  private sampling: Promise<void> = Promise.resolve();
  private timer: NodeJS.Timeout | undefined;

  async start(): Promise<void> {
    this.initialTicks = (await readMachine()).ticks;
    await this.sample(true);
    this.timer = setInterval(() => {
      this.sampling = this.sampling.then(() => this.sample(false));
    }, sampleIntervalMs);
  }

  async stop(): Promise<ProcessorUse> {
    clearInterval(this.timer);
    await this.sampling;
    await this.sample(false);
    const { ticks } = await readMachine();
    const since = (value: (ticks: Ticks) => number): number =>
      value(ticks) - (this.initialTicks === undefined ? 0 : value(this.initialTicks));
    const all = since((ticks) => ticks.all);
    const programs = new Map<string, number>();
    for (const { program, first, last } of this.processes.values())
      programs.set(program, (programs.get(program) ?? 0) + last - first);
    const share = (ticksOf: number): number => rounded(ticksOf / all, 3);
    return {
      idle: share(since((ticks) => ticks.idle)),
      kernel: share(since((ticks) => ticks.kernel)),
      runnable: median(this.runnable),
      programs: Object.fromEntries(
        [...programs]
          .sort(([, a], [, b]) => b - a)
          .slice(0, maxPrograms)
          .map(([program, used]) => [program, share(used)])
      ),
    };
  }

  /** @param first true when the time that processes used until now does not count. */
  private async sample(first: boolean): Promise<void> {
    this.runnable.push((await readMachine()).runnable);
    const ids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name));
    for (const id of ids) {
      const stat = await readProcessStat(Number(id));
      if (stat === undefined) continue;
      const program = nodeNames.includes(stat.program) ? 'node' : stat.program;
      this.record(`${id} ${stat.startTicks}`, program, stat.ownTicks, first);
      if (program === agent) this.record(`${id} ${stat.startTicks} children`, compiling, stat.childTicks, first);
    }
  }

  private record(key: string, program: string, ticks: number, first: boolean): void {
    if (compilers.some((name) => program.startsWith(name))) return;
    const existing = this.processes.get(key);
    // Another program may replace a program in the same process, for example when a container starts.
    if (existing !== undefined) Object.assign(existing, { program, last: ticks });
    else this.processes.set(key, { program, first: first ? ticks : 0, last: ticks });
  }
}

/** Reads /proc/stat (proc_stat(5)). */
async function readMachine(): Promise<{ ticks: Ticks; runnable: number }> {
  const text = await readFile('/proc/stat', 'utf8');
  const [user = 0, nice = 0, system = 0, idle = 0, iowait = 0, irq = 0, softirq = 0, steal = 0] = (
    /^cpu +(.*)$/m.exec(text)?.[1] ?? ''
  )
    .split(' ')
    .map(Number);
  const kernel = system + irq + softirq;
  return {
    ticks: { all: user + nice + kernel + idle + iowait + steal, idle: idle + iowait, kernel },
    runnable: Number(/^procs_running (\d+)$/m.exec(text)?.[1]),
  };
}
