import { z } from 'zod';
import { readMessage, sender } from './message-schemas.ts';

const oneCluster = z.strictObject({ cluster: z.string().min(1).max(253), ...sender });

/** Schema of each message to a fleet. */
export const fleetMessageSchemas = {
  /** Allows a cluster to start; may be sent in advance. */
  approve: oneCluster,
  /** Skips a cluster that is not being migrated. */
  skip: oneCluster,
  /** Retries a cluster that failed, was skipped or rolled back. */
  retry: oneCluster,
  /** Starts no other cluster. Running migrations continue. */
  pause: z.strictObject(sender),
  resume: z.strictObject(sender),
  /** Starts no other cluster, and ends the fleet once the running migrations have ended. */
  abort: z.strictObject(sender),
} as const;

/** Name of a message to a fleet. */
export type FleetMessageName = keyof typeof fleetMessageSchemas;

/** Content of a message to a fleet. */
export type FleetMessage = z.output<typeof oneCluster> | z.output<typeof fleetMessageSchemas.pause>;

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
  return readMessage<FleetMessage>(fleetMessageSchemas[name], raw);
}
