import { isDeepStrictEqual } from 'node:util';
import { labDown, labUp, type Lab, type UpOptions } from '../../lab/cluster/lab.ts';
import { startTemporal, startWorker, type TemporalServer } from '../../lab/cluster/temporal.ts';
import { clusterState } from './cluster-state.ts';
import { uniqueLabName } from './lab.ts';
import { waitForStableState } from './wait-until-stable.ts';

/** A lab with Temporal and a worker. */
export interface RunningLab {
  lab: Lab;
  temporal: TemporalServer;
}

/** A lab that several groups of tests use one after another, as long as each restores its initial state. */
export class SharedLab {
  private readonly options: Omit<UpOptions, 'name' | 'ephemeral'>;
  private name: string | undefined;
  private running: RunningLab | undefined;
  private initialState: string[] = [];

  constructor(options: Omit<UpOptions, 'name' | 'ephemeral'>) {
    this.options = options;
  }

  /** @returns a lab in its initial state: the current one, or a new one when that has changed. */
  async ready(): Promise<RunningLab> {
    if (this.running !== undefined && (await this.isUnchanged(this.running.lab))) return this.running;
    await this.remove();
    this.name = uniqueLabName('test');
    const lab = await labUp({ ...this.options, name: this.name, ephemeral: true });
    const temporal = await startTemporal(lab);
    await startWorker(lab, temporal.address);
    this.initialState = await waitForStableState(() => clusterState(lab));
    this.running = { lab, temporal };
    return this.running;
  }

  /** Returns the lab as the previous group of tests left it. @throws Error when there is none. */
  current(): RunningLab {
    if (this.running === undefined) throw new Error('no lab is left of the previous group of tests');
    return this.running;
  }

  /** Removes the lab, if it exists, complete or not. */
  async remove(): Promise<void> {
    this.running = undefined;
    if (this.name !== undefined) await labDown(this.name);
    this.name = undefined;
  }

  private async isUnchanged(lab: Lab): Promise<boolean> {
    // A cluster whose API server does not answer has changed.
    const state = await waitForStableState(() => clusterState(lab)).catch(() => []);
    return isDeepStrictEqual(state, this.initialState);
  }
}
