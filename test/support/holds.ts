import { existsSync } from 'node:fs';
import { mkdir, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { waitFor } from '../../lab/process.ts';
import { timeLimits } from './time-limits.ts';

/** Environment variable with the folder in which a holding worker (holding-worker.ts) finds the steps to hold. */
export const holdsVariable = 'HOLDS';

/** A step of one node that a worker can hold: an activity, or the recycling round of `drainNode`. */
export type HeldStep = 'flipNode' | 'verifyNode' | 'drainNode' | 'recyclePods';

/** Returns the file that asks a worker to hold the next run of a step of a node. */
export const holdFile = (dir: string, step: string, node: string): string => path.join(dir, `${step}-${node}.hold`);

/**
 * Returns the file to which a worker renames {@link holdFile}; the worker holds the step until that file is removed.
 */
export const heldFile = (dir: string, step: string, node: string): string => path.join(dir, `${step}-${node}.held`);

/**
 * Steps of a lab's workers that do not end before the test releases them, so that a test acts during a step regardless
 * of the speed of the machine.
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

  /** Requests that the next run of a step of a node is held. Only this one: later runs end as usual. */
  async arm(step: HeldStep, node: string): Promise<void> {
    await mkdir(this.dir, { recursive: true });
    // Left by an earlier run that was cancelled while it was held.
    await rm(heldFile(this.dir, step, node), { force: true });
    await writeFile(holdFile(this.dir, step, node), '');
  }

  /** Waits until a worker holds the step. */
  async waitUntilHeld(step: HeldStep, node: string): Promise<void> {
    const held = (): Promise<boolean> => Promise.resolve(existsSync(heldFile(this.dir, step, node)));
    await waitFor(`${step} of ${node} to be under way`, held, { timeoutMs: timeLimits.nodeStep });
  }

  /** Releases a held step, which then ends. */
  async release(step: HeldStep, node: string): Promise<void> {
    await rm(heldFile(this.dir, step, node));
  }
}
