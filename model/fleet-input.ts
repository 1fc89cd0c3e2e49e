import { z } from 'zod';
import { isMalformed } from './malformed-payload.ts';
import { merge } from './helm-values.ts';
import type { MigrationInput } from './input.ts';
import { parseRequest } from './parse-request.ts';
import { problemsOf } from './problems.ts';
import { untrustedProblems } from './input-limits.ts';

/** More belong into several fleets: one run keeps all of a fleet in its history. */
const maxClusters = 100;

const part = z.record(z.string(), z.json());

const fleetSchema = z.strictObject({
  /** Name of the fleet; it is the end of the workflow's ID. */
  fleet: z.string().regex(/^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$/, 'must be a name of letters, digits, dots and dashes'),
  /** The clusters, in the order in which they are migrated: each an input of `clusterMigration`. */
  clusters: z.array(part).min(1).max(maxClusters),
  /** What the inputs of all clusters have in common; a cluster's own fields go first. @default {} */
  defaults: part.default({}),
  /** So many of the first clusters go one after the other, before any of the others. @default 1 */
  canaries: z.int().min(0).max(maxClusters).default(1),
  /** Clusters at a time at most, once the canaries are migrated. @default 1 */
  concurrency: z.int().min(1).max(20).default(1),
  /** Seconds from the end of the last canary to the begin of the others. @default 0 */
  soakSeconds: z.int().min(0).max(2_592_000).default(0),
  /** Which clusters wait for a human before they begin; within each, its own `approval` holds. @default every-cluster */
  approval: z.enum(['every-cluster', 'canaries', 'none']).default('every-cluster'),
  /**
   * What follows a cluster whose migration fails: `stop` lets those under way come to their end and begins no other until a
   * human has decided; `continue` goes on with the others first, except after a canary. @default stop
   */
  onFailure: z.enum(['stop', 'continue']).default('stop'),
  /** Seconds until a missing answer is called to mind again, and again. @default 86400 */
  reminderSeconds: z.int().min(60).max(2_592_000).default(86_400),
});

/** What a fleet is started with, as written by hand. */
export type FleetRequest = z.input<typeof fleetSchema>;

/** The same, complete. */
export interface FleetInput extends Omit<z.output<typeof fleetSchema>, 'clusters' | 'defaults'> {
  clusters: MigrationInput[];
}

/**
 * Reads the input of a fleet, and that of every cluster, so that a mistake in the last is told before the first begins.
 * @returns the complete input, or one line for each thing that is wrong with it.
 */
export function parseFleet(raw: unknown): { input: FleetInput } | { problems: string[] } {
  if (isMalformed(raw)) return { problems: ['the input: is not valid JSON'] };
  const untrusted = untrustedProblems(raw);
  if (untrusted.length > 0) return { problems: untrusted };
  const result = fleetSchema.safeParse(raw);
  if (!result.success) return { problems: problemsOf(result.error, 'the input') };
  const { clusters, defaults, ...rest } = result.data;
  const problems: string[] = [];
  const inputs = clusters.flatMap((own, index) => {
    const parsed = parseRequest(merge(defaults, own));
    if ('input' in parsed) return [parsed.input];
    problems.push(...parsed.problems.map((problem) => `clusters.${index}: ${problem}`));
    return [];
  });
  const names = inputs.map(({ cluster }) => cluster);
  const twice = [...new Set(names.filter((name, index) => names.indexOf(name) !== index))];
  problems.push(...twice.map((name) => `clusters: ${name} is there more than once`));
  return problems.length > 0 ? { problems } : { input: { ...rest, clusters: inputs } };
}
