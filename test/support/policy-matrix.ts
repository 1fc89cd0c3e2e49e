import { spawn, type ChildProcess } from 'node:child_process';
import { writeFile } from 'node:fs/promises';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { controlPlane } from '../../lab/cluster/layout.ts';
import type { Lab } from '../../lab/cluster/lab.ts';
import { initPid } from '../../lab/machine/machine.ts';
import { targetPodCidr } from '../../lab/migration-request.ts';
import { projectDir } from '../../lab/paths.ts';
import { waitFor } from '../../lab/process.ts';
import { buildGo } from '../../lab/tools/go-build.ts';
import { pauseImage } from '../../lab/tools/node-images.ts';
import { timeLimits } from './time-limits.ts';
import { controlPort, groups, matrixNamespaces, namedPorts, type Group, type MatrixCheck } from './policy-shapes.ts';

/** A period in which a flow had a wrong verdict. */
export interface Mistake {
  check: string;
  from: string;
  to: string;
  want: string;
  at: string;
  ms: number;
  /** Age of the younger one of both pods, in ms. */
  ageMs: number;
}

/** Results of one stage; the fields are those of test/policy-matrix/results.go. */
export interface MatrixStage {
  stage: string;
  seconds: number;
  counts: {
    from: string;
    to: string;
    sameNode: boolean;
    flows: number;
    samples: number;
    lost: number;
    wrong: number;
    wrongMs: number;
    newMs: number;
  }[];
  mistakes: Mistake[] | null;
  /** Number of flows without a wrong verdict, and of all flows. */
  correctFlows: number;
  allFlows: number;
  checks: number;
}

/** Current state; the fields are those of test/policy-matrix/results.go. */
export interface MatrixState {
  /** Number of flows of the last mark that still exist, the smallest number of verdicts, and the flow with it. */
  marked: number;
  fewest: number;
  which: string;
  /** Number of flows with a wrong verdict, and of those that a pod on Cilium accepts although policies deny them. */
  wrong: number;
  accepted: number;
}

/** The prober of test/policy-matrix: it samples every flow of a lab's groups until it is stopped. */
export class PolicyMatrix {
  private readonly process: ChildProcess;
  private readonly lines: AsyncIterator<string>;
  /** All stages that have ended. */
  readonly stages: MatrixStage[] = [];

  private constructor(child: ChildProcess) {
    this.process = child;
    if (child.stdout === null) throw new Error('the matrix has no output');
    this.lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  }

  /**
   * Builds and starts the prober.
   * @param intervalMs time between two samples of a flow.
   */
  static async start(lab: Lab, checks: readonly MatrixCheck[], intervalMs: number): Promise<PolicyMatrix> {
    const { layout } = lab;
    const binary = path.join(layout.dir, 'matrix');
    await buildGo(path.join(projectDir, 'test', 'policy-matrix'), binary);
    const machines = [controlPlane, ...layout.nodeNames];
    const pids = await Promise.all(
      machines.map(async (name) => [name, await initPid(layout.machineDir(name))] as const)
    );
    const spec = path.join(layout.dir, 'matrix.json');
    await writeFile(
      spec,
      JSON.stringify({
        machines: Object.fromEntries(pids),
        world: controlPlane,
        targetCidr: targetPodCidr,
        intervalMs,
        control: controlPort,
        checks,
      })
    );
    return new PolicyMatrix(spawn(binary, [spec], { stdio: ['pipe', 'pipe', 'inherit'] }));
  }

  /**
   * Ends the current stage and starts another one.
   * @returns the results of the ended stage.
   */
  async stage(name: string): Promise<MatrixStage> {
    const stage = await this.command<MatrixStage>(`stage ${name}`);
    this.stages.push(stage);
    return stage;
  }

  /** Waits until every current flow was sampled this many more times, while both of its pods live. */
  async waitForSamples(times: number): Promise<void> {
    await this.command('mark');
    await this.waitFor(`${times} samples of every flow`, ({ fewest }) => fewest >= times);
  }

  /** Waits until every current flow was sampled twice more, and none is evaluated wrongly. */
  async waitUntilCorrect(): Promise<void> {
    await this.command('mark');
    await this.waitFor('a correct verdict on every flow', ({ fewest, wrong }) => fewest >= 2 && wrong === 0);
  }

  /**
   * Waits until the current state satisfies a condition.
   * @throws Error with the current state instead.
   */
  async waitFor(
    what: string,
    condition: (state: MatrixState) => boolean,
    timeoutMs = timeLimits.policySamples
  ): Promise<void> {
    let state: MatrixState | undefined;
    const holds = async (): Promise<boolean> => condition((state = await this.command<MatrixState>('state')));
    await waitFor(what, holds, { timeoutMs, pollIntervalMs: 500 }).catch((error: unknown) => {
      throw new Error(`${String(error)}: ${JSON.stringify(state)}`, { cause: error });
    });
  }

  /** One command at a time: answers come in the order of the commands. */
  private async command<Answer>(line: string): Promise<Answer> {
    this.process.stdin?.write(`${line}\n`);
    const next: IteratorResult<string> = await this.lines.next();
    if (next.done === true) throw new Error('the policy matrix has ended; standard error says why');
    return JSON.parse(String(next.value)) as Answer;
  }

  async stop(): Promise<void> {
    if (this.process.exitCode !== null) return;
    const ended = new Promise((resolve) => this.process.once('exit', resolve));
    this.process.kill('SIGKILL');
    await ended;
  }
}

/** Returns the sum of one number over all cells of a stage. */
export function total(stage: MatrixStage, field: 'samples' | 'lost' | 'wrong' | 'wrongMs' | 'newMs'): number {
  return stage.counts.reduce((sum, count) => sum + count[field], 0);
}

/** Returns the stages as a table. */
export function matrixTable(stages: readonly MatrixStage[]): string {
  const header = ['stage', 's', 'shapes', 'flows', 'wrong', 'samples', 'lost', 'new ms', 'wrong ms'];
  const rows = stages.map((stage) => [
    stage.stage,
    stage.seconds.toFixed(0),
    String(stage.checks),
    String(stage.allFlows),
    String(stage.allFlows - stage.correctFlows),
    String(total(stage, 'samples')),
    String(total(stage, 'lost')),
    total(stage, 'newMs').toFixed(0),
    total(stage, 'wrongMs').toFixed(0),
  ]);
  const widths = header.map((name, column) => Math.max(name.length, ...rows.map((row) => (row[column] ?? '').length)));
  return [header, ...rows]
    .map((row) =>
      row
        .map((text, column) => (column === 0 ? text.padEnd(widths[0] ?? 0) : text.padStart(widths[column] ?? 0)))
        .join('  ')
    )
    .join('\n');
}

/** Returns the namespaces and pods of the matrix: every group on every node. */
export function matrixObjects(): object[] {
  return [
    ...Object.entries(matrixNamespaces).map(([name, labels]) => ({
      apiVersion: 'v1',
      kind: 'Namespace',
      metadata: { name, labels },
    })),
    ...groups.map((group) => ({
      apiVersion: 'apps/v1',
      kind: 'DaemonSet',
      metadata: { name: group.name, namespace: group.namespace },
      spec: {
        selector: { matchLabels: { app: group.name, set: 'each-node' } },
        updateStrategy: { type: 'RollingUpdate', rollingUpdate: { maxUnavailable: 1 } },
        template: matrixPod(group, 'each-node'),
      },
    })),
    {
      apiVersion: 'apps/v1',
      kind: 'Deployment',
      metadata: { name: 'churn', namespace: 'matrix-blue' },
      spec: {
        replicas: 2,
        selector: { matchLabels: { app: 'client', set: 'churn' } },
        template: matrixPod(
          groups.find(({ name }) => name === 'client')!,
          'churn'
        ),
      },
    },
  ];
}

/**
 * Returns pods of some groups on one node, bound without the scheduler: in addition to those that are still on the
 * other network.
 */
export function matrixPodsOn(node: string, ...names: string[]): object[] {
  return groups
    .filter(({ name }) => names.includes(name))
    .map((group) => {
      const { metadata, spec } = matrixPod(group, 'single') as { metadata: object; spec: object };
      return {
        apiVersion: 'v1',
        kind: 'Pod',
        metadata: { ...metadata, name: `${group.name}-${node}`, namespace: group.namespace },
        spec: { ...spec, nodeName: node },
      };
    });
}

function matrixPod({ name, labels }: Group, set: string): object {
  return {
    metadata: { labels: { ...labels, set } },
    spec: {
      terminationGracePeriodSeconds: 1,
      automountServiceAccountToken: false,
      containers: [
        {
          // This container is idle: the matrix sends and answers in its network namespace.
          name: 'idle',
          image: pauseImage,
          imagePullPolicy: 'IfNotPresent',
          env: [{ name: 'MATRIX_GROUP', value: name }],
          ports: namedPorts.map(({ name: portName, protocol, port }) => ({
            name: portName,
            protocol,
            containerPort: port,
          })),
        },
      ],
    },
  };
}
