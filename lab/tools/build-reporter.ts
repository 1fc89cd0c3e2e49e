import { formatClock } from '../elapsed.ts';
import type { PackageCount, ReportStep } from './artefact.ts';
import { getBuildCost } from './build-costs.ts';
import { formatState, estimateWorkMs, type BuildState, type RunningTool } from './build-progress.ts';

/** Output of a reporter. */
export interface ReportOutput {
  /** Writes a permanent line. */
  log: (line: string) => void;
  /**
   * Terminal on which one line is redrawn.
   * @default none: the line is logged at intervals
   */
  terminal?: Pick<NodeJS.WriteStream, 'write' | 'columns'>;
}

/** Interval between two logged lines without a terminal, in ms. */
const logEveryMs = 30_000;

/** Interval between two redraws of the line on a terminal, in ms. */
const redrawEveryMs = 500;

/** A tool between its start and its end. */
interface Running {
  name: string;
  beganMs: number;
  doing: string;
  count?: PackageCount;
  countedFromMs?: number;
}

/** Reports the progress of a build: a line at the start and the end of each tool, and one for all tools in progress. */
export class BuildReporter {
  readonly #names: readonly string[];
  readonly #output: ReportOutput;
  readonly #now: () => number;
  readonly #beganMs: number;
  readonly #running = new Map<string, Running>();
  readonly #done = new Set<string>();
  #timer: NodeJS.Timeout | undefined;

  /**
   * @param names names of the tools to build.
   * @param now returns the time in ms. @default Date.now
   */
  constructor(names: readonly string[], output: ReportOutput, now: () => number = Date.now) {
    this.#names = names;
    this.#output = output;
    this.#now = now;
    this.#beganMs = now();
  }

  /** Writes the state at intervals, until {@link stop}. */
  start(): void {
    const pollIntervalMs = this.#output.terminal === undefined ? logEveryMs : redrawEveryMs;
    this.#timer = setInterval(() => this.tick(), pollIntervalMs);
  }

  stop(): void {
    clearInterval(this.#timer);
    this.#output.terminal?.write(clearLine);
  }

  /** Writes the state once. */
  tick(): void {
    if (this.#running.size === 0) return;
    const line = formatState(this.#state());
    const { terminal } = this.#output;
    if (terminal === undefined) this.#output.log(line);
    else terminal.write(`${clearLine}${line.slice(0, Math.max(terminal.columns - 1, 20))}`);
  }

  /** Logs any other line. */
  note(line: string): void {
    this.#output.terminal?.write(clearLine);
    this.#output.log(line);
  }

  /** Runs the work for a tool and reports its start and its end. `verb` describes the work, such as "built". */
  async run(name: string, verb: string, work: (reportStep: ReportStep) => Promise<void>): Promise<void> {
    const beganMs = this.#now();
    this.#log(`${name}: started`);
    let doing = '';
    try {
      await this.track(name, (reportStep) =>
        work((what, count) => {
          doing = what;
          reportStep(what, count);
        })
      );
      this.#done.add(name);
      this.#log(`${name}: ${verb} in ${Math.round((this.#now() - beganMs) / 1000)} s`);
    } catch (error) {
      this.#log(`${name}: NOT ${verb}${doing === '' ? '' : `, it was at ${doing}`}`);
      throw error;
    }
  }

  /** Shows work in the common line of all work in progress, without a line of its own. */
  async track(name: string, work: (reportStep: ReportStep) => Promise<void>): Promise<void> {
    const tool: Running = { name, beganMs: this.#now(), doing: '' };
    this.#running.set(name, tool);
    try {
      await work((doing, count) => {
        tool.doing = doing;
        if (count === undefined) return;
        tool.count = count;
        tool.countedFromMs ??= this.#now();
      });
    } finally {
      this.#running.delete(name);
    }
  }

  #log(text: string): void {
    this.note(`${formatClock(this.#now() - this.#beganMs)}  ${text}`);
  }

  #state(): BuildState {
    const now = this.#now();
    const running = [...this.#running.values()].map((tool): RunningTool => {
      const { name, doing, beganMs, count, countedFromMs } = tool;
      return {
        name,
        doing,
        elapsedMs: now - beganMs,
        ...(count && { count }),
        ...(countedFromMs !== undefined && { countingMs: now - countedFromMs }),
      };
    });
    let doneSeconds = 0;
    let leftSeconds = 0;
    for (const name of this.#names) {
      const { seconds } = getBuildCost(name);
      const count = this.#running.get(name)?.count;
      const share = this.#done.has(name) ? 1 : count === undefined ? 0 : count.done / Math.max(count.total, 1);
      doneSeconds += seconds * share;
      leftSeconds += seconds * (1 - share);
    }
    const elapsedMs = now - this.#beganMs;
    const remainingMs = estimateWorkMs({ doneSeconds, leftSeconds }, elapsedMs);
    return { elapsedMs, done: this.#done.size, total: this.#names.length, remainingMs, running };
  }
}

/** Escape sequence that returns to the line's first column and erases the line. */
const clearLine = '\r\u001b[2K';
