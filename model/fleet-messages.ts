import { z } from 'zod';
import { readMessage, sender } from './message-schemas.ts';

const oneCluster = z.strictObject({ cluster: z.string().min(1).max(253), ...sender });

/** What each message to a fleet has to look like. */
export const fleetMessageSchemas = {
  /** Lets a cluster begin; it may come before its turn. */
  approve: oneCluster,
  /** Sets a cluster aside that is not under way. */
  skip: oneCluster,
  /** Takes up a cluster that failed, was skipped or rolled back. */
  retry: oneCluster,
  /** Begins no other cluster. Those under way go on. */
  pause: z.strictObject(sender),
  resume: z.strictObject(sender),
  /** Begins no other cluster, and ends once those under way have ended. */
  abort: z.strictObject(sender),
} as const;

/** Name of a message to a fleet. */
export type FleetMessageName = keyof typeof fleetMessageSchemas;

/** What a message to a fleet says. */
export type FleetMessage = z.output<typeof oneCluster> | z.output<typeof fleetMessageSchemas.pause>;

/** All names, for those who register handlers. */
export const fleetMessageNames = Object.keys(fleetMessageSchemas) as FleetMessageName[];

/** Reads a message. @returns it, or what is wrong with it in one line. */
export function parseFleetMessage(
  name: FleetMessageName,
  raw: unknown
): { message: FleetMessage } | { problem: string } {
  return readMessage<FleetMessage>(fleetMessageSchemas[name], raw);
}
