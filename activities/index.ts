import { noPolicy, type PolicyOf } from '../model/cluster-policy.ts';
import { createApprovalActivities } from './cluster/approvals.ts';
import { createExportActivities } from './canal/export.ts';
import { createCanalActivities } from './canal/removal.ts';
import { createNodeRestrictionActivities } from './canal/node-restriction.ts';
import { createTraceActivities } from './canal/calico-removal.ts';
import { createAgentActivities } from './cilium/agents.ts';
import { createCiliumExportActivities } from './cilium/export.ts';
import { createOperatorActivities } from './cilium/operator.ts';
import { createFlipActivities } from './cilium/flip.ts';
import { createCiliumTraceActivities } from './cilium/removal.ts';
import type { HelmSettings } from './helm/command.ts';
import { createIdentityBridgeActivities } from './helpers/identity-bridge.ts';
import { createNatExemptionActivities } from './helpers/nat-exemption.ts';
import { createHelmActivities } from './helm/release.ts';
import { createDiagnosticsActivities } from './host/diagnostics.ts';
import { createHelperActivities } from './helpers/removal.ts';
import { createHostActivities } from './host/host-activities.ts';
import type { Clusters } from './kubernetes/connection.ts';
import { createOnCluster } from './kubernetes/on-cluster.ts';
import { createDrainActivities } from './node/drain.ts';
import { createLockActivities, type IsOpen } from './cluster/lock.ts';
import { createNoReturnActivities } from './cluster/point-of-no-return.ts';
import { createRollbackRecordActivities } from './cluster/rollback-record.ts';
import { createNodeActivities } from './node/node-activities.ts';
import { createPlanActivities } from './plan/plan-details.ts';
import { createDryRunActivities } from './plan/dry-run.ts';
import { createRequestActivities } from './plan/resolve-request.ts';
import { createPolicyActivities } from './policy/policy-activities.ts';
import { createInspectionActivities } from './cluster/inspect.ts';
import { createCheckActivities } from './preflight/run.ts';
import { createGateActivities } from './probe/gates/check-gates.ts';
import { createLedgerActivities } from './probe/ledger.ts';
import { createProberActivities } from './helpers/probers.ts';
import { createRemovalVerificationActivities } from './probe/before-removal.ts';
import { createRestorationActivities } from './helpers/restoration.ts';
import { createUnfinishedActivities } from './helpers/unfinished.ts';
import { createProbeActivities } from './probe/verify.ts';
import { createWindowActivities } from './cluster/maintenance-windows.ts';

/** Dependencies of the activities. */
export interface ActivityDependencies {
  clusters: Clusters;
  helm: HelmSettings;
  /** Reports whether a workflow run is open. */
  isOpen: IsOpen;
  /** Node that the worker runs on, when it runs in the cluster that it migrates. */
  workerNode?: string | undefined;
  /**
   * Secret of the workers with encryption, that keeps the names of nodes out of IDs.
   * @default none: payloads are not encrypted
   */
  nodeIdSecret?: string | undefined;
  /**
   * Policies of the clusters, from the worker's file.
   * @default none
   */
  policyOf?: PolicyOf | undefined;
}

/** Creates all activities, keyed by the name that workflows call. */
export function createActivities(dependencies: ActivityDependencies) {
  const { clusters, isOpen, workerNode, nodeIdSecret, policyOf = noPolicy } = dependencies;
  const helm: HelmSettings = {
    chartDigests: (cluster) => policyOf(cluster).chartDigests,
    ...dependencies.helm,
  };
  const onCluster = createOnCluster(clusters);
  return {
    ...createInspectionActivities(onCluster),
    ...createCheckActivities(onCluster, helm, policyOf),
    ...createPlanActivities(onCluster, clusters, helm),
    ...createDryRunActivities(onCluster, clusters, helm),
    ...createLockActivities(onCluster, isOpen),
    ...createNoReturnActivities(onCluster),
    ...createRollbackRecordActivities(onCluster),
    ...createRequestActivities(nodeIdSecret, policyOf, clusters.approvalMode),
    ...createApprovalActivities(onCluster),
    ...createWindowActivities(),
    ...createHelmActivities(onCluster, clusters, helm),
    ...createAgentActivities(onCluster),
    ...createOperatorActivities(onCluster),
    ...createFlipActivities(onCluster),
    ...createCiliumExportActivities(onCluster),
    ...createCiliumTraceActivities(onCluster),
    ...createNatExemptionActivities(onCluster),
    ...createIdentityBridgeActivities(onCluster),
    ...createPolicyActivities(onCluster),
    ...createHelperActivities(onCluster),
    ...createRestorationActivities(onCluster),
    ...createUnfinishedActivities(onCluster),
    ...createHostActivities(onCluster),
    ...createDiagnosticsActivities(onCluster),
    ...createNodeActivities(onCluster, workerNode),
    ...createDrainActivities(onCluster),
    ...createProbeActivities(onCluster),
    ...createRemovalVerificationActivities(onCluster),
    ...createProberActivities(onCluster),
    ...createLedgerActivities(onCluster),
    ...createGateActivities(onCluster, policyOf),
    ...createExportActivities(onCluster),
    ...createCanalActivities(onCluster),
    ...createNodeRestrictionActivities(onCluster),
    ...createTraceActivities(onCluster),
  };
}

/** Type of all activities, for workflows. */
export type Activities = ReturnType<typeof createActivities>;
