import type { ChildProcess } from 'node:child_process';
import path from 'node:path';
import { startProcess } from '../../lab/cluster/processes.ts';
import { run } from '../../lab/process.ts';

const script = path.join(import.meta.dirname, 'debian-root.sh');

/** Debian packages that no test may leave on this machine: their programs run in a separate root file system. */
export class DebianRoot {
  private readonly dir: string;
  private readonly layers: readonly string[];
  private readonly user: string;

  /** @param dir folder of this root: its programs write only there; `share` in it is their `/share`. */
  constructor(dir: string, layers: readonly string[], user: string) {
    this.dir = dir;
    this.layers = layers;
    this.user = user;
  }

  /** Runs a program to its end. */
  run(...command: string[]): Promise<string> {
    const [file = '', ...args] = this.command(command);
    return run(file, args);
  }

  /** Starts a program; `stopProcesses` of the folder ends it. */
  start(name: string, ...command: string[]): Promise<ChildProcess> {
    return startProcess(this.dir, name, this.command(command));
  }

  get share(): string {
    return path.join(this.dir, 'share');
  }

  private command(command: readonly string[]): string[] {
    const namespaces = ['unshare', '--mount', '--propagation', 'private', '--pid', '--fork', '--kill-child'];
    return [...namespaces, 'bash', script, this.dir, this.layers.join(':'), this.user, ...command];
  }
}
