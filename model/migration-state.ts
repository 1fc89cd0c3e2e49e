import type { ClusterFacts } from './cluster-facts.ts';
import type { Decision } from './decision.ts';
import { noDecisions, type Decisions } from './message-context.ts';
import type { Ledger } from './ledger.ts';
import type { Plan } from './plan.ts';
import type { PolicyReport } from './policies.ts';
import type { CheckOutcome } from './preflight.ts';
import type { ResolvedRequest } from './resolved-request.ts';
import type { UnfinishedRecord } from './remaining-nodes.ts';
import type { MigrationStatus } from './status.ts';
import type { MeasuredTimes } from './step-times.ts';

/** Version of {@link MigrationState}. A build continues only states of a version that it knows. */
export const stateVersion = 1;

/** Steps of the whole cluster that work node by node. */
export const nodeSteps = ['cutover', 'clean canal', 'clean cilium'] as const;
export type NodeStep = (typeof nodeSteps)[number];

/** State of a cluster's migration. It is JSON: a run hands it to the next one when its history is long. */
export interface MigrationState {
  version: typeof stateVersion;
  /** The request, resolved once. Undefined until then. */
  request?: ResolvedRequest;
  /** Public part: what the query `status` returns. */
  status: MigrationStatus;
  /** Decisions that the workflow still has to act on or to remember. */
  decisions: Decisions;
  /** Canal as found; undefined when it is already removed. */
  source?: NonNullable<ClusterFacts['canal']>;
  /** True once the cutover has begun: Cilium writes the CNI files. */
  ciliumOwnsCni: boolean;
  /** Steps that are done and not repeated, by name. */
  doneSteps: string[];
  /** Nodes for which a step of the whole cluster is done. */
  doneNodes: Record<NodeStep, string[]>;
  /** End of the soak of the last wave (Unix ms); 0 without one. */
  soakUntilMs: number;
  /** Request of a rollback of all nodes that an earlier run began and did not complete, until this run makes its first change. */
  rollbackBegun?: Decision;
  /** Durations that this run has measured. */
  measured?: MeasuredTimes;
  /** Start of the time that no gate has evaluated yet (Unix ms). Undefined until the first wave has ended. */
  unjudgedSinceMs?: number;
  /** Outcomes of the checks. Undefined until they have run. */
  preflight?: CheckOutcome[];
  /** The plan, as last computed. It is final once it is approved. */
  plan?: Plan;
  /** Result of the latest policy comparison. */
  policies?: PolicyReport;
  /** Measurements by stage. */
  ledger: Ledger;
  /** ConfigMaps with the export of Calico's objects, `namespace/name`. */
  calicoExport: string[];
  /** The record of the remaining nodes in the cluster, as last read or written. Undefined without one. */
  unfinished?: UnfinishedRecord;
}

/** Returns the state of a migration that has not started. */
export function initialState(): MigrationState {
  return {
    version: stateVersion,
    status: {
      cluster: '',
      phase: 'preflight',
      maxConcurrency: 0,
      waves: 0,
      nodes: [],
      approvals: {},
      timeline: [],
      notes: [],
    },
    decisions: noDecisions(),
    ciliumOwnsCni: false,
    doneSteps: [],
    doneNodes: { cutover: [], 'clean canal': [], 'clean cilium': [] },
    soakUntilMs: 0,
    ledger: {},
    calicoExport: [],
  };
}
