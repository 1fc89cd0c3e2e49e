import type { ChildProcess } from 'node:child_process';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { freePort } from '../../lab/cluster/temporal.ts';
import { startProcess } from '../../lab/cluster/processes.ts';
import type { Lab } from '../../lab/cluster/lab.ts';
import { projectDir } from '../../lab/paths.ts';
import { waitFor } from '../../lab/process.ts';
import { timeLimits } from './time-limits.ts';

/** A worker of this project in its own process, with health and metrics, for the lab's cluster as `prod`. */
export class WorkerProcess {
  readonly dir: string;
  readonly health: string;
  readonly metrics: string;
  readonly process: ChildProcess;

  private constructor(dir: string, health: string, metrics: string, child: ChildProcess) {
    this.dir = dir;
    this.health = health;
    this.metrics = metrics;
    this.process = child;
  }

  /** Starts a worker. `name` distinguishes workers of one lab. */
  static async start(lab: Lab, address: string, name: string, env: NodeJS.ProcessEnv = {}): Promise<WorkerProcess> {
    const dir = path.join(lab.layout.processesDir, name);
    await mkdir(dir, { recursive: true });
    const { kubeconfig, context } = lab.layout;
    const settings = path.join(dir, 'worker.yaml');
    await writeFile(settings, JSON.stringify({ clusters: { prod: { kubeconfig, context } } }));
    const [health, metrics] = [`127.0.0.1:${await freePort()}`, `127.0.0.1:${await freePort()}`];
    const variables = {
      ...process.env,
      TEMPORAL_ADDRESS: address,
      HELM: lab.catalogue.bin('helm'),
      CNI_MIGRATION_CONFIG: settings,
      CNI_MIGRATION_HEALTH_ADDRESS: health,
      CNI_MIGRATION_METRICS_ADDRESS: metrics,
      ...env,
    };
    const main = path.join(projectDir, 'worker', 'main.ts');
    // In the lab's own folder, whose processes end with the lab.
    const child = await startProcess(lab.layout.processesDir, name, [process.execPath, main], variables);
    return new WorkerProcess(dir, `http://${health}`, `http://${metrics}/metrics`, child);
  }

  /** Returns its log. */
  log(): Promise<string> {
    return readFile(`${this.dir}.log`, 'utf8');
  }

  async status(route: string): Promise<number> {
    return fetch(`${this.health}${route}`, { signal: AbortSignal.timeout(timeLimits.localChange) }).then(
      ({ status }) => status,
      () => 0
    );
  }

  async ready(): Promise<void> {
    await waitFor('the worker', async () => (await this.status('/readyz')) === 200, {
      timeoutMs: timeLimits.serviceStart,
    });
  }

  /**
   * Stops it gracefully.
   * @returns its exit code.
   * @throws Error when it still runs after the time that its activities get to stop.
   */
  async stop(): Promise<number | null> {
    this.process.kill('SIGTERM');
    const { process: child } = this;
    const ended = (): Promise<boolean> => Promise.resolve(child.exitCode !== null || child.signalCode !== null);
    await waitFor('the worker to end', ended, { timeoutMs: timeLimits.serviceStop });
    return child.exitCode;
  }
}
