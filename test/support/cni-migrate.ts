import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import path from 'node:path';
import { projectDir } from '../../lab/paths.ts';
import { waitFor } from '../../lab/process.ts';
import { timeLimits } from './time-limits.ts';

/** A running `cni-migrate`. */
export class CniMigrate {
  private readonly child: ChildProcess;
  private readonly ended: Promise<unknown>;
  /** Standard output so far. */
  out = '';
  /** Standard error so far: the Temporal CLI's command, and errors. */
  err = '';

  constructor(address: string, args: readonly string[]) {
    const env = { ...process.env, TEMPORAL_ADDRESS: address };
    this.child = spawn(path.join(projectDir, 'cni-migrate'), args, { env, stdio: ['ignore', 'pipe', 'pipe'] });
    this.ended = once(this.child, 'close');
    this.child.stdout?.on('data', (chunk: Buffer) => (this.out += chunk.toString()));
    this.child.stderr?.on('data', (chunk: Buffer) => (this.err += chunk.toString()));
  }

  /** Waits until the command has printed a text. */
  waitForText(text: string): Promise<void> {
    return waitFor(`"${text}"`, () => Promise.resolve(`${this.out}${this.err}`.includes(text)), {
      timeoutMs: timeLimits.workflowState,
      pollIntervalMs: 20,
    });
  }

  /** Interrupts the command, as Ctrl-C does. */
  interrupt(): void {
    this.child.kill('SIGINT');
  }

  /**
   * Waits for the end of the command.
   * @throws Error when it does not end, after killing it.
   */
  async end(): Promise<{ code: number | null; out: string; err: string }> {
    try {
      await waitFor(
        'the command to end',
        () => Promise.resolve(this.child.exitCode !== null || this.child.signalCode !== null),
        {
          timeoutMs: timeLimits.workflowState,
          pollIntervalMs: 20,
        }
      );
    } catch (error) {
      this.child.kill('SIGKILL');
      throw new Error(`cni-migrate does not end: ${this.out}${this.err}`, { cause: error });
    }
    await this.ended;
    return { code: this.child.exitCode, out: this.out, err: this.err };
  }
}
