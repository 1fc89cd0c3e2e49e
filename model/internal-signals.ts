import { z } from 'zod';
import type { RepeatedStep } from './attempts.ts';
import type { ClusterProgress } from './fleet-status.ts';
import { exceededLimit } from './input-limits.ts';
import { podKeySchema } from './object-names.ts';
import type { NodeProgress } from './status.ts';

const repeatedStepSchema = z.looseObject({
  step: z.string(),
  state: z.enum(['repeating', 'overdue', 'stopped']),
  attempts: z.number(),
  since: z.string(),
  failedAt: z.string(),
  failure: z.looseObject({ type: z.string(), message: z.string() }),
  asksAt: z.string().exactOptional(),
  mayBeSkipped: z.boolean().exactOptional(),
}) satisfies z.ZodType<RepeatedStep>;

/**
 * What workflows of this service send each other, as far as the receiver depends on it: any client can send the same
 * signals. Fields that a newer build adds are accepted.
 */
const nodeProgressSchema = z.looseObject({
  node: z.string(),
  blockers: z.array(z.looseObject({ pod: z.string(), reason: z.string(), kind: z.string() })),
  waitingFor: z.string().exactOptional(),
  needsRepair: z.boolean().exactOptional(),
  repeatedSteps: z.array(repeatedStepSchema).exactOptional(),
  isRestoring: z.boolean().exactOptional(),
  parentRunId: z.string(),
}) satisfies z.ZodType<Omit<NodeProgress, 'blockers'>>;

const clusterProgressSchema = z.looseObject({
  cluster: z.string(),
  phase: z.string(),
  migrated: z.number(),
  nodes: z.number(),
  waitingFor: z.string().exactOptional(),
}) satisfies z.ZodType<Omit<ClusterProgress, 'phase'>>;

/** A map, because any client chooses the names of its signals: an object also has those of its prototype. */
const schemas: ReadonlyMap<string, z.ZodType> = new Map<string, z.ZodType>([
  ['nodeProgress', nodeProgressSchema],
  ['clusterProgress', clusterProgressSchema],
]);

/**
 * True for an argument that the receiver of an internal signal can use; always true for signals of operators. A larger
 * argument than any that a workflow sends would not fit into the status or into the input of the next run.
 */
export function isUsableSignal(name: string, argument: unknown): boolean {
  const schema = schemas.get(name);
  if (schema === undefined) return true;
  return exceededLimit(argument) === undefined && schema.safeParse(argument).success;
}

/** True for a pod that a cluster's workflow names to the workflow of a node. */
export function isPodName(argument: unknown): argument is string {
  return podKeySchema.safeParse(argument).success;
}
