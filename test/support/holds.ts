import { existsSync } from 'node:fs';
import { mkdir, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { until } from '../../lab/process.ts';
import { timeLimits } from './time-limits.ts';

/** Names the folder in which a holding worker (holding-worker.ts) looks for the steps to hold. */
export const holdsVariable = 'HOLDS';

/** A step of one node that a worker can hold: an activity, or the recycling round of `movePods`. */
export type HeldStep = 'flipNode' | 'verifyNode' | 'movePods' | 'recyclePods';

/** File that asks a worker to hold the next run of a step of a node. */
export const holdFile = (dir: string, step: string, node: string): string => path.join(dir, `${step}-${node}.hold`);

/** File that a worker has made of {@link holdFile}; it holds the step until the file is gone. */
export const heldFile = (dir: string, step: string, node: string): string => path.join(dir, `${step}-${node}.held`);

/**
 * Steps that the workers of a lab do not end before the test says so, so that a test acts while a step is under way
 * however fast or slow the machine is.
 */
export class Holds {
  private readonly dir: string;

  /** @param dir folder that workers get as the environment variable {@link holdsVariable}. */
  constructor(dir: string) {
    this.dir = dir;
  }

  get env(): NodeJS.ProcessEnv {
    return { [holdsVariable]: this.dir };
  }

  /** Asks for the next run of a step of a node to be held. Only this one: later runs end as usual. */
  async arm(step: HeldStep, node: string): Promise<void> {
    await mkdir(this.dir, { recursive: true });
    // Of an earlier run that was cancelled while it was held.
    await rm(heldFile(this.dir, step, node), { force: true });
    await writeFile(holdFile(this.dir, step, node), '');
  }

  /** Waits until a worker holds the step. */
  async waitUntilHeld(step: HeldStep, node: string): Promise<void> {
    const held = (): Promise<boolean> => Promise.resolve(existsSync(heldFile(this.dir, step, node)));
    await until(`${step} of ${node} to be under way`, held, { timeoutMs: timeLimits.nodeStep });
  }

  /** Lets a held step end. */
  async release(step: HeldStep, node: string): Promise<void> {
    await rm(heldFile(this.dir, step, node));
  }
}
