import { z } from 'zod';
import { inputVersion, withoutEditorSchema } from './api-version.ts';
import { isMalformed } from './malformed-payload.ts';
import { merge } from './helm-values.ts';
import type { MigrationInput } from './input.ts';
import { parseRequest } from './parse-request.ts';
import { formatProblems } from './problems.ts';
import { untrustedProblems } from './input-limits.ts';

/** Maximum number of clusters in a fleet: each run receives the state of the whole fleet. Split larger fleets. */
export const maxClusters = 100;

const partialInputSchema = z.record(z.string(), z.json());

const fleetFields = z.strictObject({
  ...inputVersion,
  /** Name of the fleet; the workflow ID ends with it. */
  fleet: z
    .string()
    .regex(
      /^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$/,
      'must start with a letter or digit and contain only letters, digits, dots, dashes and underscores'
    ),
  /** Clusters in the order of their migration; each is an input of `clusterMigration`. */
  clusters: z.array(partialInputSchema).min(1).max(maxClusters),
  /**
   * Fields that the inputs of all clusters share; the fields of a cluster take precedence.
   * @default {}
   */
  defaults: partialInputSchema.default({}),
  /**
   * Number of clusters at the start of the list that are migrated one after the other, before all others.
   * @default 1
   */
  canaryClusters: z.int().min(0).max(maxClusters).default(1),
  /**
   * Maximum number of clusters migrated in parallel, once the canary clusters are migrated.
   * @default 1
   */
  maxConcurrency: z.int().min(1).max(20).default(1),
  /**
   * Seconds between the end of the last canary and the start of the other clusters.
   * @default 0
   */
  soakSeconds: z.int().min(0).max(2_592_000).default(0),
  /**
   * Clusters that need an approval before they start. Within each cluster, its own `approval` applies.
   * @default every-cluster
   */
  approval: z.enum(['every-cluster', 'canary-only', 'none']).default('every-cluster'),
  /**
   * Reaction to a cluster whose migration fails: `stop` lets running migrations finish and starts no other until an
   * operator decides; `continue` migrates the other clusters first, except after a canary.
   * @default stop
   */
  onFailure: z.enum(['stop', 'continue']).default('stop'),
  /**
   * Seconds between reminders that an answer is missing.
   * @default 86400
   */
  reminderSeconds: z.int().min(60).max(2_592_000).default(86_400),
});

/** Options of a fleet: its input without its clusters. */
export const fleetOptionsSchema = fleetFields.omit({ $schema: true, clusters: true, defaults: true });

/** Options of a fleet with every default applied. */
export type FleetOptions = z.output<typeof fleetOptionsSchema>;

/** Schema of the input of a fleet. Its clusters are parsed afterwards, each with `defaults`. */
export const fleetSchema = fleetFields.transform(withoutEditorSchema);

/** Input of a fleet as written by the operator, before defaults are applied. */
export type FleetRequest = z.input<typeof fleetSchema>;

/** Input of a fleet with every default applied. */
export interface FleetInput extends FleetOptions {
  clusters: MigrationInput[];
}

/**
 * Parses the input of a fleet and of every cluster, so that an error in the last one is reported before the first
 * starts.
 * @returns the complete input, or one line per problem.
 */
export function parseFleet(raw: unknown): { input: FleetInput } | { problems: string[] } {
  if (isMalformed(raw)) return { problems: [`the input: ${raw.problem}`] };
  const untrusted = untrustedProblems(raw);
  if (untrusted.length > 0) return { problems: untrusted };
  const result = fleetSchema.safeParse(raw);
  if (!result.success) return { problems: formatProblems(result.error, 'the input') };
  const { clusters, defaults, ...options } = result.data;
  const problems: string[] = [];
  const inputs = clusters.flatMap((clusterFields, index) => {
    const parsed = parseRequest(merge(defaults, clusterFields));
    if ('input' in parsed) return [parsed.input];
    problems.push(...parsed.problems.map((problem) => `clusters.${index}: ${problem}`));
    return [];
  });
  const names = inputs.map(({ cluster }) => cluster);
  const duplicates = [...new Set(names.filter((name, index) => names.indexOf(name) !== index))];
  problems.push(...duplicates.map((name) => `clusters: duplicate cluster ${name}`));
  return problems.length > 0 ? { problems } : { input: { ...options, clusters: inputs } };
}
