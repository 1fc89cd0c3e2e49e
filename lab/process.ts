import { execFile, type ExecFileOptions } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { createInterface } from 'node:readline';
import { promisify } from 'node:util';

const execFileAsync = promisify(execFile);

let interruption = new AbortController();

/** Returns a signal that the next {@link interrupt} aborts; running work checks it between two steps. */
export function interruptionSignal(): AbortSignal {
  return interruption.signal;
}

/** Ends every running command of {@link run}, and every wait; commands that start later run as usual. */
export function interrupt(): void {
  const current = interruption;
  interruption = new AbortController();
  current.abort(new Error('interrupted'));
}

/** Options of {@link run}. */
export interface RunOptions extends Pick<ExecFileOptions, 'cwd' | 'env' | 'signal'> {
  /**
   * Text for standard input.
   * @default none
   */
  input?: string;
  /**
   * Kill the command after this many ms.
   * @default 0 (no limit)
   */
  timeoutMs?: number;
  /**
   * Receives each line of standard error as soon as it is written, without its line end.
   * @default none
   */
  onErrorLine?: (line: string) => void;
}

/** A command that ended with an exit code other than 0, with the end of its output. */
export class CommandFailed extends Error {
  override name = 'CommandFailed';
  readonly code: number | undefined;
  readonly stderr: string;

  constructor(command: string, code: number | undefined, output: string, cause: unknown) {
    super(`${command} failed with code ${code ?? 'none'}:\n${output.trim().split('\n').slice(-25).join('\n')}`, {
      cause,
    });
    this.code = code;
    this.stderr = output;
  }
}

/**
 * Runs a command without a shell and returns its standard output.
 * @throws {CommandFailed} when it cannot be started or its exit code is not 0.
 */
export async function run(command: string, args: readonly string[], options: RunOptions = {}): Promise<string> {
  const { input, timeoutMs, onErrorLine, ...rest } = options;
  const signal = rest.signal === undefined ? interruption.signal : AbortSignal.any([rest.signal, interruption.signal]);
  const promise = execFileAsync(command, [...args], {
    ...rest,
    signal,
    encoding: 'utf8',
    maxBuffer: 256 * 1024 * 1024,
    timeout: timeoutMs ?? 0,
  });
  promise.child.stdin?.on('error', () => {
    // A command that ends without reading its input closes the pipe; its exit code shows whether that was wrong.
  });
  promise.child.stdin?.end(input ?? '');
  if (onErrorLine !== undefined && promise.child.stderr !== null) {
    createInterface({ input: promise.child.stderr }).on('line', onErrorLine);
  }
  try {
    return (await promise).stdout;
  } catch (error) {
    const { code, stderr = '', stdout = '' } = error as { code?: number | string; stderr?: string; stdout?: string };
    const output = stderr || stdout || (error as Error).message;
    throw new CommandFailed(
      [command, ...args].join(' ').slice(0, 300),
      typeof code === 'number' ? code : undefined,
      output,
      error
    );
  }
}

/** True when the command exists and ends with code 0. */
export async function succeeds(command: string, args: readonly string[], options: RunOptions = {}): Promise<boolean> {
  return run(command, args, options).then(
    () => true,
    () => false
  );
}

/** Identity of a process: a later process with the same ID is not taken for it. */
export interface ProcessId {
  pid: number;
  /** Start time in clock ticks since boot, field 22 of /proc/PID/stat (proc(5)). */
  startTicks: string;
}

/** State of a process as the kernel reports it, in clock ticks (proc_pid_stat(5)). */
export interface ProcessStat {
  /** Name of the program, of which the kernel keeps 15 bytes. */
  program: string;
  state: string;
  startTicks: string;
  /** Time in user and kernel mode, of the process itself and of the children that it waited for. */
  ownTicks: number;
  childTicks: number;
}

/** Reads /proc/PID/stat; undefined when there is no such process. */
export async function readProcessStat(pid: number): Promise<ProcessStat | undefined> {
  const stat = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => '');
  // The name, in parentheses, may itself hold spaces and parentheses.
  const [nameFrom, nameTo] = [stat.indexOf('(') + 1, stat.lastIndexOf(')')];
  // Starts with the third field.
  const fields = stat.slice(nameTo + 2).split(' ');
  const [state, startTicks] = [fields[0], fields[19]];
  if (state === undefined || startTicks === undefined) return undefined;
  const [user, kernel, childUser, childKernel] = fields.slice(11, 15).map(Number) as [number, number, number, number];
  return {
    program: stat.slice(nameFrom, nameTo),
    state,
    startTicks,
    ownTicks: user + kernel,
    childTicks: childUser + childKernel,
  };
}

/** Identifies a running process; undefined when no process has that ID, or when it is a zombie. */
export async function identifyProcess(pid: number): Promise<ProcessId | undefined> {
  const stat = await readProcessStat(pid);
  return stat === undefined || stat.state === 'Z' ? undefined : { pid, startTicks: stat.startTicks };
}

/** True while that very process runs. */
export async function isRunning(id: ProcessId): Promise<boolean> {
  return (await identifyProcess(id.pid))?.startTicks === id.startTicks;
}

/** Sends a signal to that very process; a process that has ended is no error. */
export async function signalProcess(id: ProcessId, signal: NodeJS.Signals): Promise<void> {
  if (!(await isRunning(id))) return;
  try {
    process.kill(id.pid, signal);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
  }
}

/**
 * Polls a condition until it holds.
 * @throws Error that names the condition when the time is over, or when interrupted.
 */
export async function waitFor(
  what: string,
  condition: () => Promise<boolean>,
  { timeoutMs, pollIntervalMs = 200 }: { timeoutMs: number; pollIntervalMs?: number }
): Promise<void> {
  const deadline = Date.now() + timeoutMs;
  const { signal } = interruption;
  while (!(await condition())) {
    signal.throwIfAborted();
    if (Date.now() > deadline) throw new Error(`waited ${timeoutMs / 1000} s for ${what}`);
    await new Promise((resolve) => setTimeout(resolve, pollIntervalMs));
  }
}
