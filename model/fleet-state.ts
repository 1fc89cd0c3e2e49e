import { z } from 'zod';
import { fleetOptionsSchema, maxClusters, type FleetInput, type FleetOptions } from './fleet-input.ts';
import { fleetClusterStates, type FleetStatus } from './fleet-status.ts';
import type { FleetDecisions } from './fleet-decisions.ts';
import type { HelmValues } from './helm-values.ts';
import type { MigrationInput } from './input.ts';
import { isMalformed } from './malformed-payload.ts';
import { formatProblems } from './problems.ts';
import { joinShared, splitShared, type SharedValues } from './shared-values.ts';
import { phases } from './status.ts';

/** Version of {@link FleetState}. A build refuses a state of another version. */
const stateVersion = 1;

/**
 * Maximum size of the inputs of all clusters in the state, in bytes. The server refuses 2 MiB; the rest is for the
 * status, which has at most about 5 kB per cluster.
 */
export const maxInputBytes = 1_000_000;

/** Number of events after which a run continues as new: a server's own limit is 10,000 signals or 51,200 events. */
export const defaultHistoryLimit = 8_000;

/** Everything that a run of a fleet passes to the next one with continue-as-new. */
export interface FleetState {
  version: typeof stateVersion;
  options: FleetOptions;
  /** Inputs of the clusters with every default applied: resolved once, so that no later build changes them. */
  inputs: SharedValues;
  status: FleetStatus;
  control: FleetDecisions;
  /** Number of events after which a run continues as new, unless the server suggests it earlier. */
  historyLimit: number;
}

const decisionSchema = z.strictObject({ by: z.string(), reason: z.string(), at: z.string() });
const timeSchema = z.iso.datetime();
const nameSchema = z.string().min(1);

const clusterSchema = z.strictObject({
  cluster: nameSchema,
  canary: z.boolean(),
  state: z.enum(fleetClusterStates),
  workflowId: nameSchema,
  runId: nameSchema.optional(),
  approval: decisionSchema.optional(),
  decision: decisionSchema.optional(),
  startedAt: timeSchema.optional(),
  endedAt: timeSchema.optional(),
  progress: z
    .looseObject({ phase: z.enum(phases), migrated: z.number(), nodes: z.number(), waitingFor: z.string().optional() })
    .optional(),
  failure: z.strictObject({ type: z.string(), message: z.string() }).optional(),
});

const answerInputSchema = z.record(z.string(), z.union([z.string(), z.number(), z.boolean()]));

const waitingSchema = z.strictObject({
  kind: z.enum(['resume', 'decision', 'approval', 'soak']),
  clusters: z.array(nameSchema),
  since: timeSchema,
  reminders: z.int().min(0),
  answers: z.array(z.strictObject({ does: z.string(), message: z.string(), input: answerInputSchema })),
});

const statusSchema = z.strictObject({
  fleet: nameSchema,
  clusters: z.array(clusterSchema).min(1).max(maxClusters),
  waitingFor: z.string().optional(),
  waiting: waitingSchema.optional(),
  paused: decisionSchema.optional(),
  soakUntil: timeSchema.optional(),
  notes: z.array(z.string()),
});

/** Inputs are opaque here: the workflow of each cluster validates its own. */
const valuesSchema = z.record(z.string(), z.unknown());

const stateSchema = z
  .strictObject({
    version: z.literal(stateVersion),
    options: fleetOptionsSchema,
    inputs: z.strictObject({
      shared: valuesSchema,
      own: z
        .array(z.looseObject({ cluster: nameSchema }))
        .min(1)
        .max(maxClusters),
    }),
    status: statusSchema,
    control: z.strictObject({ aborted: decisionSchema.optional(), cancelledAt: timeSchema.optional() }),
    historyLimit: z.int().min(1),
  })
  .refine(({ inputs, status }) => haveSameClusters(inputs.own, status.clusters), {
    path: ['status', 'clusters'],
    message: 'must be the clusters of the inputs, in the same order',
  });

function haveSameClusters(some: readonly { cluster: string }[], others: readonly { cluster: string }[]): boolean {
  return some.length === others.length && some.every(({ cluster }, index) => cluster === others[index]?.cluster);
}

/** True for an argument that is meant as a {@link FleetState}, and not as an input. */
export function isFleetState(raw: unknown): boolean {
  return typeof raw === 'object' && raw !== null && !isMalformed(raw) && 'version' in raw;
}

/**
 * Parses the state that a run has received from the previous one, which another build may have written.
 * @returns the state, or one line per problem.
 */
export function parseFleetState(raw: unknown): { state: FleetState } | { problems: string[] } {
  const result = stateSchema.safeParse(raw);
  if (result.success) return { state: result.data as FleetState };
  return { problems: formatProblems(result.error, 'the state') };
}

/**
 * Creates the state of a fleet that has not started.
 * @param workflowIds workflow ID of each cluster's migration.
 * @returns the state, or one line per problem: the inputs must not be larger than {@link maxInputBytes}.
 */
export function createFleetState(
  { clusters, ...options }: FleetInput,
  workflowId: (cluster: string) => string
): { state: FleetState } | { problems: string[] } {
  // A round trip removes undefined fields, which JSON does not have.
  const inputs = splitInputs(JSON.parse(JSON.stringify(clusters)) as HelmValues[]);
  const bytes = countBytes(JSON.stringify(inputs));
  if (bytes > maxInputBytes) {
    const problem = `clusters: their inputs have ${bytes} bytes together, and a fleet keeps at most ${maxInputBytes}; split the fleet, or move common fields to defaults`;
    return { problems: [problem] };
  }
  const status: FleetStatus = {
    fleet: options.fleet,
    clusters: clusters.map(({ cluster }, index) => ({
      ...{ cluster, canary: index < options.canaryClusters, state: 'pending', workflowId: workflowId(cluster) },
    })),
    notes: [],
  };
  const historyLimit = defaultHistoryLimit;
  return { state: { version: stateVersion, options, inputs, status, control: {}, historyLimit } };
}

/** Returns the input of each cluster, by name. */
export function clusterInputs({ inputs }: FleetState): Map<string, MigrationInput> {
  const joined = joinShared(inputs) as unknown as MigrationInput[];
  return new Map(joined.map((input) => [input.cluster, input]));
}

/** Splits the inputs. Each keeps its name, also in a fleet of one cluster. */
function splitInputs(clusters: readonly HelmValues[]): SharedValues {
  const { shared, own } = splitShared(clusters.map(({ cluster: _, ...rest }) => rest));
  return { shared, own: own.map((values, index) => ({ cluster: clusters[index]?.['cluster'] ?? '', ...values })) };
}

/** Returns the number of bytes of a text in UTF-8. Temporal's sandbox of workflows has no TextEncoder by contract. */
function countBytes(text: string): number {
  let bytes = 0;
  for (const character of text) {
    const code = character.codePointAt(0) ?? 0;
    bytes += code < 0x80 ? 1 : code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
  }
  return bytes;
}
