import { createCanalActivities } from './canal/remove.ts';
import { createAgentActivities } from './cilium/agents.ts';
import { createFlipActivities } from './cilium/flip.ts';
import { createHelmActivities } from './helm/release.ts';
import { createHelperActivities } from './host/helpers.ts';
import type { Clusters } from './kubernetes/connection.ts';
import { createDrainActivities } from './kubernetes/drain.ts';
import { createNodeActivities } from './kubernetes/nodes.ts';
import { createPreflightActivities } from './preflight/inspect.ts';
import { createProbeActivities } from './probe/verify.ts';

/** What activities work with. */
export interface ActivityDependencies {
  clusters: Clusters;
  /** Helm's binary. */
  helm: string;
}

/** Every activity, by the name that workflows call it. */
export function createActivities({ clusters, helm }: ActivityDependencies) {
  return {
    ...createPreflightActivities(clusters),
    ...createHelmActivities(clusters, helm),
    ...createAgentActivities(clusters),
    ...createFlipActivities(clusters),
    ...createHelperActivities(clusters),
    ...createNodeActivities(clusters),
    ...createDrainActivities(clusters),
    ...createProbeActivities(clusters),
    ...createCanalActivities(clusters),
  };
}

/** Type of all activities, for workflows. */
export type Activities = ReturnType<typeof createActivities>;
