import { z } from 'zod';
import { isMalformed } from './malformed-payload.ts';
import { maxWaveSize } from './input.ts';
import { problemsOf } from './problems.ts';
import { untrustedProblems } from './input-limits.ts';

const name = z.string().min(1).max(253);

/** Who sends a message and why, for the record. */
export const sender = {
  /** @default unnamed */
  by: name.optional(),
  /** The same as `by`. */
  approver: name.optional(),
  /** @default none */
  reason: z.string().max(500).optional(),
};

/** Exactly one of these is what a message is about. */
const subject = {
  node: name.optional(),
  /** Number of the wave, from 1. */
  wave: z.int().min(1).optional(),
  plan: z.literal(true).optional(),
  /** The removal of Canal: the point of no return. */
  cleanup: z.literal(true).optional(),
};

const oneSubject = z
  .strictObject({ ...subject, ...sender })
  .refine((message) => Object.keys(subject).filter((key) => key in message).length === 1, {
    message: 'must name exactly one of "node", "wave", "plan": true and "cleanup": true',
  });

const oneNode = z.strictObject({ node: name, ...sender });

/** What each message has to look like. */
export const messageSchemas = {
  /** Lets a node, a wave, the plan or the clean-up go on. A node or a wave may be approved before its turn. */
  approve: oneSubject,
  /** Refuses: a node or the nodes of the current wave are skipped; without its plan or clean-up the migration ends. */
  reject: oneSubject,
  /** Begins nothing new. Nodes that are under way are finished. */
  pause: z.strictObject(sender),
  resume: z.strictObject(sender),
  /** Sets a node aside. The cut-over needs it all the same: retry it later, or take it out of the cluster. */
  skip: oneNode,
  /** Takes up a node that failed, was skipped or rolled back. */
  retry: oneNode,
  /** Takes a node back to Canal, or all of them, and Cilium out of the cluster. */
  rollback: z
    .strictObject({ node: name.optional(), all: z.literal(true).optional(), ...sender })
    .refine((message) => (message.node === undefined) !== (message.all === undefined), {
      message: 'must name either "node" or "all": true',
    }),
  /** Ends the migration. Nodes under way are given back; migrated ones stay so. Starting again takes it up. */
  abort: z.strictObject(sender),
  /** Changes how many nodes a wave has, from the next wave on. */
  setConcurrency: z.strictObject({ concurrency: z.int().min(1).max(maxWaveSize), ...sender }),
  /** Has a pod deleted, in its own grace period, that eviction cannot move: one without a consent or held by a budget. */
  forcePod: z.strictObject({
    pod: z.string().regex(/^[a-z0-9-]{1,63}\/[a-z0-9.-]{1,253}$/, 'must be namespace/name'),
    ...sender,
  }),
} as const;

/** Every message by its name. */
export type Messages = { [Name in keyof typeof messageSchemas]: z.output<(typeof messageSchemas)[Name]> };

/** Name of a message. */
export type MessageName = keyof Messages;

/** All names, for those who register handlers. */
export const messageNames = Object.keys(messageSchemas) as MessageName[];

/** Reads a message. @returns it, or what is wrong with it in one line. */
export function parseMessage<Name extends MessageName>(
  messageName: Name,
  raw: unknown
): { message: Messages[Name] } | { problem: string } {
  return readMessage<Messages[Name]>(messageSchemas[messageName], raw);
}

/** Reads what has come as a message, by its schema. @returns it, or what is wrong with it in one line. */
export function readMessage<Message>(schema: z.ZodType, raw: unknown): { message: Message } | { problem: string } {
  if (isMalformed(raw)) return { problem: 'it is not valid JSON' };
  const [problem] = untrustedProblems(raw);
  if (problem !== undefined) return { problem };
  // Messages that are all about who sends them may be sent without anything.
  const result = schema.safeParse(raw ?? {});
  if (result.success) return { message: result.data as Message };
  return { problem: problemsOf(result.error, 'it').join('; ') };
}
