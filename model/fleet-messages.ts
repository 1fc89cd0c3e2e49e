import { z } from 'zod';
import { parseWithSchema, senderFields } from './message-schemas.ts';

const clusterMessageSchema = z.strictObject({
  /** Cluster of the fleet, as its input names it. */
  cluster: z.string().min(1).max(253),
  ...senderFields,
});

/** Schema of each message to a fleet. */
export const fleetMessageSchemas = {
  /** Allows a cluster to start; may be sent in advance. */
  approve: clusterMessageSchema,
  /** Skips a cluster that is not being migrated. */
  skip: clusterMessageSchema,
  /** Retries a cluster that failed, was skipped or rolled back. */
  retry: clusterMessageSchema,
  /** Starts no other cluster. Running migrations continue. */
  pause: z.strictObject(senderFields),
  /** Continues after a pause. */
  resume: z.strictObject(senderFields),
  /** Starts no other cluster, and ends the fleet once the running migrations have ended. */
  abort: z.strictObject(senderFields),
} as const;

/** Name of a message to a fleet. */
export type FleetMessageName = keyof typeof fleetMessageSchemas;

/** Content of a message to a fleet. */
export type FleetMessage = z.output<typeof clusterMessageSchema> | z.output<typeof fleetMessageSchemas.pause>;

/** All names, for the registration of handlers. */
export const fleetMessageNames = Object.keys(fleetMessageSchemas) as FleetMessageName[];

/**
 * Parses a message.
 * @returns the message, or the problem in one line.
 */
export function parseFleetMessage(
  name: FleetMessageName,
  raw: unknown
): { message: FleetMessage } | { problem: string } {
  return parseWithSchema<FleetMessage>(fleetMessageSchemas[name], raw);
}
