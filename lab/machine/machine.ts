import { spawn } from 'node:child_process';
import { closeSync, existsSync, openSync } from 'node:fs';
import { chmod, mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { shellQuote } from '../../model/shell.ts';
import { identifyProcess, isRunning, run, signalProcess, waitFor, type ProcessId } from '../process.ts';

/** A machine of a lab: namespaces with a root file system, an address, and services that a supervisor keeps running. */
export interface MachineSpec {
  lab: string;
  name: string;
  /** Its folder: disk, logs and services. */
  dir: string;
  /** Address with prefix length. */
  address: string;
  gateway: string;
  /** Network namespace that holds the lab's bridge `br0`. */
  switchNetns: string;
  /** Overlay layers of its disk, uppermost first. */
  layers: readonly string[];
  /** Folders it can read, at the same path as outside. */
  readOnly: readonly string[];
  /** Folders it shares with other machines: its own path → the folder outside. */
  shared?: Readonly<Record<string, string>>;
  /** Folders outside the overlay, below `volumes/` of its folder. */
  volumes: readonly string[];
  /** Folders in front of its PATH. */
  binDirs: readonly string[];
  /** Service name → shell script that runs it in the foreground. */
  services: Readonly<Record<string, string>>;
}

const supervisorScript = path.join(import.meta.dirname, 'supervise.sh');

/** Returns the name of a machine's network namespace. */
export function netnsName(lab: string, machine: string): string {
  return `cni-lab-${lab}-${machine}`;
}

/** Writes a machine's settings and starts its supervisor, unless it runs already. */
export async function startMachine(spec: MachineSpec): Promise<void> {
  if (await findSupervisor(spec.dir)) return;
  for (const folder of ['log', 'services', 'volumes']) await mkdir(path.join(spec.dir, folder), { recursive: true });
  await rm(path.join(spec.dir, 'stop'), { force: true });
  const settings: Record<string, string> = {
    LAB: spec.lab,
    NAME: spec.name,
    NETNS: netnsName(spec.lab, spec.name),
    SWITCH: spec.switchNetns,
    PORT: spec.name,
    ADDRESS: spec.address,
    GATEWAY: spec.gateway,
    LAYERS: spec.layers.join(':'),
    READ_ONLY: spec.readOnly.join(' '),
    SHARED: Object.entries(spec.shared ?? {})
      .map((pair) => pair.join('='))
      .join(' '),
    VOLUMES: spec.volumes.join(' '),
    BIN: spec.binDirs.join(':'),
    INIT: path.join(import.meta.dirname, 'init.sh'),
  };
  const text = Object.entries(settings).map(([name, value]) => `${name}=${shellQuote(value)}\n`);
  await writeFile(path.join(spec.dir, 'machine.env'), text.join(''));
  for (const [name, script] of Object.entries(spec.services)) {
    const file = path.join(spec.dir, 'services', name);
    await writeFile(file, `#!/bin/bash\n${script}\n`);
    await chmod(file, 0o755);
  }
  const log = openSync(path.join(spec.dir, 'log', 'supervisor.log'), 'a');
  const child = spawn('bash', [supervisorScript, spec.dir], {
    detached: true,
    stdio: ['ignore', log, log],
  });
  closeSync(log);
  if (child.pid === undefined) throw new Error(`the supervisor of ${spec.name} could not be started`);
  child.unref();
  await writeFile(path.join(spec.dir, 'supervisor.json'), JSON.stringify(await identifyProcess(child.pid)));
}

/**
 * Stops a machine permanently and waits until only its folder is left. A machine that does not exist, or whose
 * supervisor was killed, is no error.
 */
export async function stopMachine(dir: string): Promise<void> {
  const settings = await readFile(path.join(dir, 'machine.env'), 'utf8').catch(() => undefined);
  if (settings === undefined) return;
  await writeFile(path.join(dir, 'stop'), '');
  const deadline = Date.now() + 30_000;
  for (let supervisor = await findSupervisor(dir); supervisor !== undefined; supervisor = await findSupervisor(dir)) {
    if (Date.now() > deadline) throw new Error(`the machine in ${dir} does not stop (supervisor ${supervisor.pid})`);
    const running = await findRunningProcess(dir);
    if (running !== undefined) await signalProcess(running, 'SIGKILL');
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  // Processes that still run in the machine's own network namespace were started by a supervisor that was killed.
  const netns = /^NETNS='(.*)'$/m.exec(settings)?.[1] ?? '';
  const orphans = (await run('ip', ['netns', 'pids', netns]).catch(() => '')).split('\n').filter(Boolean);
  for (const pid of orphans) {
    const id = await identifyProcess(Number(pid));
    if (id !== undefined) await signalProcess(id, 'SIGKILL');
  }
  // When the file "stop" exists, the supervisor only removes the remains of a boot.
  await run('bash', [supervisorScript, dir]);
}

/** Kills a machine without a graceful stop; its supervisor boots it again. Resolves when its services run again. */
export async function rebootMachine(dir: string): Promise<void> {
  const before = await findRunningProcess(dir);
  if (before === undefined) throw new Error(`the machine in ${dir} does not run`);
  await signalProcess(before, 'SIGKILL');
  await waitFor(
    'the machine to boot again',
    async () => {
      const now = await findRunningProcess(dir);
      const booted = now !== undefined && existsSync(path.join(dir, 'booted'));
      return booted && (now.pid !== before.pid || now.startTicks !== before.startTicks);
    },
    { timeoutMs: 30_000 }
  );
}

/**
 * Returns process 1 of a machine, as seen from outside.
 * @throws Error when the machine does not run.
 */
export async function initPid(dir: string): Promise<number> {
  const unshare = await findRunningProcess(dir);
  const children =
    unshare && (await readFile(`/proc/${unshare.pid}/task/${unshare.pid}/children`, 'utf8').catch(() => ''));
  const pid = Number(children?.trim().split(' ')[0]);
  if (!(pid > 0)) throw new Error(`the machine in ${dir} does not run`);
  return pid;
}

/** Returns the command line that runs a command inside a machine, in all its namespaces. */
export async function buildMachineCommand(dir: string, command: readonly string[]): Promise<string[]> {
  const pid = await initPid(dir);
  const environment = await readFile(path.join(dir, 'machine.env'), 'utf8');
  const bin = /^BIN='(.*)'$/m.exec(environment)?.[1] ?? '';
  const searchPath = `PATH=${bin}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin`;
  return [
    'nsenter',
    '-t',
    String(pid),
    '-m',
    '-u',
    '-i',
    '-n',
    '-p',
    '-C',
    '-r',
    '-w',
    'env',
    '-i',
    searchPath,
    'TERM=dumb',
    ...command,
  ];
}

/** Runs a command inside a machine and returns its output. */
export async function runInside(
  dir: string,
  command: readonly string[],
  options?: Parameters<typeof run>[2]
): Promise<string> {
  const [file = '', ...args] = await buildMachineCommand(dir, command);
  return run(file, args, options);
}

async function findSupervisor(dir: string): Promise<ProcessId | undefined> {
  const text = await readFile(path.join(dir, 'supervisor.json'), 'utf8').catch(() => '');
  if (text === '') return undefined;
  const id = JSON.parse(text) as ProcessId;
  return (await isRunning(id)) ? id : undefined;
}

async function findRunningProcess(dir: string): Promise<ProcessId | undefined> {
  const supervisor = await findSupervisor(dir);
  if (supervisor === undefined) return undefined;
  const pid = (await readFile(path.join(dir, 'running.pid'), 'utf8').catch(() => '')).trim();
  const children = await readFile(`/proc/${supervisor.pid}/task/${supervisor.pid}/children`, 'utf8').catch(() => '');
  // A process ID in a file may belong to another process by now; only a child of the supervisor is the machine.
  return children.trim().split(' ').includes(pid) && pid !== '' ? identifyProcess(Number(pid)) : undefined;
}
