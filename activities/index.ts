import { createExportActivities } from './canal/export.ts';
import { createCanalActivities } from './canal/remove.ts';
import { createTraceActivities } from './canal/traces.ts';
import { createAgentActivities } from './cilium/agents.ts';
import { createFlipActivities } from './cilium/flip.ts';
import { createCiliumTraceActivities } from './cilium/traces.ts';
import type { HelmSettings } from './helm/command.ts';
import { createIdentityBridgeActivities } from './coexistence/identity-bridge.ts';
import { createNatExemptionActivities } from './coexistence/nat-exemption.ts';
import { createHelmActivities } from './helm/release.ts';
import { createDiagnosticsActivities } from './host/diagnostics.ts';
import { createHelperActivities } from './host/helpers.ts';
import { createHostActivities } from './host/on-nodes.ts';
import type { Clusters } from './kubernetes/connection.ts';
import { createDrainActivities } from './kubernetes/drain.ts';
import { createLockActivities, type IsOpen } from './kubernetes/lock.ts';
import { createNodeActivities } from './kubernetes/nodes.ts';
import { createPlanActivities } from './plan/plan-details.ts';
import { createRehearsalActivities } from './plan/rehearse.ts';
import { createPolicyActivities } from './policy/policies.ts';
import { createInspectionActivities } from './preflight/inspect.ts';
import { createCheckActivities } from './preflight/run.ts';
import { createGateActivities } from './probe/gates.ts';
import { createLedgerActivities } from './probe/ledger.ts';
import { createProberActivities } from './probe/probers.ts';
import { createProbeActivities } from './probe/verify.ts';
import { createWindowActivities } from './windows.ts';

/** What activities work with. */
export interface ActivityDependencies {
  clusters: Clusters;
  helm: HelmSettings;
  /** Whether a workflow run is open. */
  isOpen: IsOpen;
  /** Node that the worker runs on, if it runs in the cluster that it migrates. */
  workerNode?: string | undefined;
}

/** Every activity, by the name that workflows call it. */
export function createActivities({ clusters, helm, isOpen, workerNode }: ActivityDependencies) {
  return {
    ...createInspectionActivities(clusters),
    ...createCheckActivities(clusters, helm),
    ...createPlanActivities(clusters, helm),
    ...createRehearsalActivities(clusters, helm),
    ...createLockActivities(clusters, isOpen),
    ...createWindowActivities(),
    ...createHelmActivities(clusters, helm),
    ...createAgentActivities(clusters),
    ...createFlipActivities(clusters),
    ...createCiliumTraceActivities(clusters),
    ...createNatExemptionActivities(clusters),
    ...createIdentityBridgeActivities(clusters),
    ...createPolicyActivities(clusters),
    ...createHelperActivities(clusters),
    ...createHostActivities(clusters),
    ...createDiagnosticsActivities(clusters),
    ...createNodeActivities(clusters, workerNode),
    ...createDrainActivities(clusters),
    ...createProbeActivities(clusters),
    ...createProberActivities(clusters),
    ...createLedgerActivities(clusters),
    ...createGateActivities(clusters),
    ...createExportActivities(clusters),
    ...createCanalActivities(clusters),
    ...createTraceActivities(clusters),
  };
}

/** Type of all activities, for workflows. */
export type Activities = ReturnType<typeof createActivities>;
