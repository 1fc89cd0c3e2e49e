import { spawn, type StdioOptions } from 'node:child_process';
import { readdir, readFile } from 'node:fs/promises';
import { isRunning, signalProcess, type ProcessId } from '../../lab/process.ts';

/** The end of a command. */
export type End =
  | { how: 'exited'; code: number | null; signal: NodeJS.Signals | null }
  | { how: 'not started'; message: string }
  | { how: 'deadline' }
  | { how: 'stopped' };

/** A command that runs in a process group of its own. */
export interface GroupOptions {
  command: readonly string[];
  cwd: string;
  env: NodeJS.ProcessEnv;
  stdio: StdioOptions;
  deadlineMs: number;
  /** Stops the command before its deadline. */
  signal: AbortSignal;
  /** Time between SIGTERM and SIGKILL to its processes, in ms. */
  graceMs: () => number;
}

/**
 * Runs a command until it ends, until its deadline, or until it is stopped. No process of its group outlives it.
 * @returns how it ended, and the descendants that left its group and were still running when it was killed.
 */
export async function runInGroup(options: GroupOptions): Promise<{ end: End; strays: readonly ProcessId[] }> {
  const { command, cwd, env, stdio, deadlineMs, signal, graceMs } = options;
  const [file = '', ...args] = command;
  const child = spawn(file, args, { cwd, env, stdio, detached: true });
  const exited = new Promise<End>((resolve) => {
    child.once('error', (error) => resolve({ how: 'not started', message: error.message }));
    child.once('exit', (code, exitSignal) => resolve({ how: 'exited', code, signal: exitSignal }));
  });
  const killed = waitForKillReason(deadlineMs, signal);
  const end = await Promise.race([exited, killed.reason]);
  killed.cancel();
  const group = child.pid;
  if (group === undefined) return { end, strays: [] };
  if (end.how === 'exited') {
    signalGroup(group, 'SIGKILL');
    return { end, strays: [] };
  }
  const descendants = await listDescendants(group);
  await endGroup(group, graceMs());
  return { end, strays: descendants };
}

/** Kills those of the processes that still run. */
export async function killProcesses(processes: readonly ProcessId[]): Promise<number> {
  const running = await Promise.all(processes.map(isRunning));
  const left = processes.filter((_, index) => running[index] === true);
  await Promise.all(left.map((id) => signalProcess(id, 'SIGKILL')));
  return left.length;
}

function waitForKillReason(deadlineMs: number, signal: AbortSignal): { reason: Promise<End>; cancel: () => void } {
  let cancel = (): void => undefined;
  const reason = new Promise<End>((resolve) => {
    const stop = (): void => resolve({ how: 'stopped' });
    const timer = setTimeout(() => resolve({ how: 'deadline' }), deadlineMs);
    signal.addEventListener('abort', stop);
    if (signal.aborted) stop();
    cancel = () => {
      clearTimeout(timer);
      signal.removeEventListener('abort', stop);
    };
  });
  return { reason, cancel: () => cancel() };
}

/** Maximum wait for killed processes, in ms: a process that waits for a device cannot end. */
const killWaitMs = 10_000;

async function endGroup(group: number, graceMs: number): Promise<void> {
  signalGroup(group, 'SIGTERM');
  const graceEnd = Date.now() + graceMs;
  while ((await hasMembers(group)) && Date.now() < graceEnd + killWaitMs) {
    if (Date.now() > graceEnd) signalGroup(group, 'SIGKILL');
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

function signalGroup(group: number, signal: NodeJS.Signals): void {
  try {
    process.kill(-group, signal);
  } catch (error) {
    // No process of the group is left.
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
  }
}

interface TableEntry {
  id: ProcessId;
  parent: number;
  group: number;
}

/** Returns all processes of this machine that have not ended, from /proc/PID/stat (proc_pid_stat(5)). */
async function processTable(): Promise<TableEntry[]> {
  const pids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name));
  const entries = await Promise.all(
    pids.map(async (pid) => {
      const stat = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => '');
      // The program's name, in parentheses, may itself contain spaces and parentheses. The state follows.
      const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
      const [state = '', parent, group] = fields;
      const startTicks = fields[19];
      if (startTicks === undefined || 'ZX'.includes(state)) return undefined;
      return { id: { pid: Number(pid), startTicks }, parent: Number(parent), group: Number(group) };
    })
  );
  return entries.filter((entry) => entry !== undefined);
}

async function hasMembers(group: number): Promise<boolean> {
  return (await processTable()).some((entry) => entry.group === group);
}

/** The processes that a process started, directly or through others that still run. */
async function listDescendants(pid: number): Promise<ProcessId[]> {
  const table = await processTable();
  const found: ProcessId[] = [];
  const parents = new Set([pid]);
  for (let size = -1; size !== found.length;) {
    size = found.length;
    for (const { id, parent } of table) {
      if (!parents.has(parent) || parents.has(id.pid)) continue;
      parents.add(id.pid);
      found.push(id);
    }
  }
  return found;
}
