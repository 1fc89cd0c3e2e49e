import type { MigrationInput } from './input.ts';
import { isMigrated, type NodeFacts } from './nodes.ts';
import type { ClusterFacts } from './source.ts';
import { allWaves, type Wave } from './waves.ts';

/** What a migration is going to do. */
export interface Plan {
  /** Waves in order, each with the reason for its nodes' place. */
  waves: Wave[];
  /** Nodes that are migrated already. */
  migrated: string[];
  /** Nodes that are not Ready and set aside. */
  setAside: string[];
  /** Canal as it was found. */
  source: NonNullable<ClusterFacts['canal']>;
  target: { chart: string; version: string; podCidr: string; tunnelPort: number };
  /** What there is no way back from. */
  pointOfNoReturn: string;
}

/** Makes the plan from what was read. */
export function makePlan(
  canal: NonNullable<ClusterFacts['canal']>,
  nodes: readonly NodeFacts[],
  input: MigrationInput
): Plan {
  const migrated = nodes.filter(isMigrated);
  const left = nodes.filter((node) => !isMigrated(node));
  const rules = { size: input.waves.size, canary: input.waves.canary, proven: migrated.length > 0 };
  return {
    waves: allWaves(
      left.filter((node) => node.ready),
      rules
    ),
    migrated: migrated.map((node) => node.name),
    setAside: left.filter((node) => !node.ready).map((node) => node.name),
    source: canal,
    target: {
      chart: input.chart,
      version: input.chartVersion,
      podCidr: input.podCidr,
      tunnelPort: input.tunnelPort,
    },
    pointOfNoReturn: 'the clean-up, which removes Canal; until then everything can be rolled back',
  };
}
