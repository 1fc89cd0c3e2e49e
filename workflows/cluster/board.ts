import { setCurrentDetails, upsertSearchAttributes, workflowInfo } from '@temporalio/workflow';
import { fleetReportIntervalMs, type ClusterProgress } from '../../model/fleet-status.ts';
import { statusMarkdown } from '../../model/markdown/status.ts';
import type { MigrationState } from '../../model/migration-state.ts';
import { pendingNeeds } from '../../model/pending-needs.ts';
import { clusterProgressSignal, fleetPrefix } from '../messages.ts';
import { maxKeyword, searchAttributes } from '../search-attributes.ts';
import { ParentProgress } from '../support/parent-progress.ts';

/** Values of the search attributes. */
interface Attributes {
  cluster: string;
  phase: string;
  waitingFor: string | undefined;
  needs: string | undefined;
}

/** Shows a migration to people: in the current details of the Web UI, in search attributes, and to its fleet. */
export class Board {
  private readonly state: MigrationState;
  private published = '';
  private readonly fleetProgress = new ParentProgress(clusterProgressSignal, undefined, {
    minIntervalMs: fleetReportIntervalMs,
  });
  private isRendering = false;

  constructor(state: MigrationState) {
    this.state = state;
  }

  /** Publishes the state as it is now. */
  publish(): void {
    this.renderLater();
    // A refused input has no cluster.
    if (this.state.status.cluster === '') return;
    this.updateSearchAttributes();
    this.reportToFleet();
  }

  /**
   * Renders the details once for all changes of a workflow task: a wave, or thousands of messages, change many nodes at
   * once, and the text of a large cluster takes milliseconds.
   */
  private renderLater(): void {
    if (this.isRendering) return;
    this.isRendering = true;
    void Promise.resolve().then(() => {
      this.isRendering = false;
      const { status, preflight, plan, ledger } = this.state;
      setCurrentDetails(statusMarkdown(status, workflowInfo(), { preflight, plan, ledger }));
    });
  }

  /** Keeps the search attributes in sync. Each upsert is an event in the history, so only changes are written. */
  private updateSearchAttributes(): void {
    const { status } = this.state;
    const attributes: Attributes = {
      cluster: status.cluster,
      phase: status.phase,
      waitingFor: this.waitingForAttribute,
      needs: pendingNeeds(status)[0]?.need,
    };
    const key = JSON.stringify(attributes);
    if (key === this.published) return;
    this.published = key;
    upsertSearchAttributes([
      { key: searchAttributes.cluster, value: attributes.cluster },
      { key: searchAttributes.phase, value: attributes.phase },
      { key: searchAttributes.waitingFor, value: attributes.waitingFor ?? null },
      { key: searchAttributes.needs, value: attributes.needs ?? null },
    ]);
  }

  /** Returns what is awaited; where payloads are encrypted, only its kind, without the names of nodes. */
  private get waitingForAttribute(): string | undefined {
    const { request, status } = this.state;
    const { waiting, waitingFor } = status;
    const isPrivate = request?.nodeIdSecret !== undefined;
    return isPrivate && waitingFor !== undefined ? (waiting?.kind ?? 'step') : waitingFor?.slice(0, maxKeyword);
  }

  /** Reports progress to the fleet of this cluster, if any: phases, kinds of wait, and every tenth of the nodes. */
  private reportToFleet(): void {
    if (!this.hasFleet) return;
    const { phase, waiting, nodes } = this.state.status;
    const progress = this.clusterProgress;
    const tenths = nodes.length === 0 ? 0 : Math.floor((10 * progress.migrated) / nodes.length);
    this.fleetProgress.report(progress, JSON.stringify([phase, waiting?.kind, tenths]));
  }

  /** Sends what the fleet does not know yet. Call it before the run continues as new. */
  async flush(): Promise<void> {
    if (this.hasFleet) await this.fleetProgress.flush();
  }

  /** Reports the end of the migration, with any result. */
  async end(): Promise<void> {
    if (this.hasFleet) await this.fleetProgress.end({ ...this.clusterProgress, ended: true });
  }

  private get hasFleet(): boolean {
    return workflowInfo().parent?.workflowId.startsWith(fleetPrefix) === true && this.state.status.cluster !== '';
  }

  private get clusterProgress(): ClusterProgress {
    const { cluster, phase, waitingFor, nodes } = this.state.status;
    const migrated = nodes.filter(({ state }) => state === 'migrated').length;
    return {
      ...{ cluster, phase, migrated, nodes: nodes.length },
      ...(waitingFor !== undefined && { waitingFor: waitingFor.slice(0, maxKeyword) }),
    };
  }
}
