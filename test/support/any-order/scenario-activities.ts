import { Context } from '@temporalio/activity';
import type { Activities } from '../../../activities/index.ts';
import { fakeCluster } from '../fake-cluster.ts';

/** Activities of many fake clusters in one worker: each call goes to the cluster of its migration. */
export class ScenarioActivities {
  /** Activities by the ID of the migration's workflow. */
  private readonly clusters = new Map<string, Activities>();

  /** Activities for the worker. */
  readonly activities: Activities;

  constructor() {
    const names = Object.keys(fakeCluster({ nodes: [] }).activities);
    this.activities = Object.fromEntries(
      names.map((name) => [name, (...args: unknown[]) => this.find(name)(...args)])
    ) as unknown as Activities;
  }

  /** Adds a cluster, whose migration has this workflow ID. */
  add(workflowId: string, activities: Activities): void {
    this.clusters.set(workflowId, activities);
  }

  private find(name: string): (...args: unknown[]) => unknown {
    // The workflow of a node has the ID of its migration as a prefix.
    const [migration = ''] = Context.current().info.workflowExecution?.workflowId.split('/') ?? [];
    const activities = this.clusters.get(migration) as Record<string, (...args: unknown[]) => unknown> | undefined;
    const activity = activities?.[name];
    if (activity === undefined) throw new Error(`no activity ${name} of the migration ${migration}`);
    return activity;
  }
}
