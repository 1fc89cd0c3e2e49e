import { z } from 'zod';
import { messageVersion } from './api-version.ts';
import { isMalformed } from './malformed-payload.ts';
import { maxWaveSize } from './input.ts';
import { podKeySchema } from './object-names.ts';
import { formatProblems } from './problems.ts';
import { untrustedProblems } from './input-limits.ts';

const nameSchema = z.string().min(1).max(253);

/** A line of text: no control characters, no line ends, nothing that changes the direction of text. */
const lineOfText = /^(?:[\u200c\u200d]|[^\p{Cc}\p{Cf}\p{Cs}\u2028\u2029])*$/u;

/** The same, with line ends and tabs. */
const linesOfText = /^(?:[\n\t\u200c\u200d]|[^\p{Cc}\p{Cf}\p{Cs}\u2028\u2029])*$/u;

/** Fields that every message has: its version, and its sender and the reason, for the record. */
export const senderFields = {
  ...messageVersion,
  // Not as patterns of the JSON schema: many validators do not know these classes of characters.
  /**
   * Name of the sender.
   * @default unnamed
   */
  by: nameSchema
    .refine((text) => lineOfText.test(text), 'must be one line of text without control characters')
    .optional(),
  /**
   * Reason for the message.
   * @default none
   */
  reason: z
    .string()
    .max(500)
    .refine((text) => linesOfText.test(text), 'must be text without control characters')
    .optional(),
};

const planProblem = 'must be true, or the digest of the plan: 12 to 64 hexadecimal digits in lower case';

/** Subjects of a message; exactly one must be given. */
const subjectFields = {
  /** Name of a node. */
  node: nameSchema.optional(),
  /** Number of the wave, from 1. */
  wave: z.int().min(1).optional(),
  /** The plan: by its digest, or at least the first 12 digits of it; `true` for the pending one. */
  plan: z
    .union([z.literal(true), z.string().regex(/^[0-9a-f]{12,64}$/, planProblem)], { error: planProblem })
    .optional(),
  /** The cutover: Cilium becomes the owner of CNI and policies on every node. */
  cutover: z.literal(true).optional(),
  /** The removal of Canal: the point of no return. */
  cleanup: z.literal(true).optional(),
};

const subjectMessageSchema = z
  .strictObject({ ...subjectFields, ...senderFields })
  .refine((message) => Object.keys(subjectFields).filter((key) => key in message).length === 1, {
    message: 'must name exactly one of "node", "wave", "plan", "cutover": true and "cleanup": true',
  })
  .meta({ oneOf: Object.keys(subjectFields).map((field) => ({ required: [field] })) });

/** Verb and object of a step; it may contain the name of a node. */
const stepSchema = z.string().min(1).max(500);

/** Schema of each message. */
export const messageSchemas = {
  /** Approves a node, a wave, the plan, the cutover or the cleanup. A node or wave may be approved in advance. */
  approve: subjectMessageSchema,
  /**
   * Rejects: a node, or the nodes of the current wave, are skipped; rejecting the plan, the cutover or the
   * cleanup ends the migration.
   */
  reject: subjectMessageSchema,
  /** Starts nothing new. Nodes in progress are finished. */
  pause: z.strictObject(senderFields),
  /** Continues after a pause. */
  resume: z.strictObject(senderFields),
  /**
   * Skips a node. The cutover still needs it: retry it later, or remove it from the cluster. Where the cutover, the cleanup or
   * a rollback waits for a node that is switched off, the run ends without it, and it is finished when it is back. Or skips a
   * step of the whole cluster that has no attempt left, where its answers contain that.
   */
  skip: z
    .strictObject({
      /** Name of the node. */
      node: nameSchema.optional(),
      /** The step, as the status names it. */
      step: stepSchema.optional(),
      ...senderFields,
    })
    .refine((message) => (message.node === undefined) !== (message.step === undefined), {
      message: 'must name either "node" or "step"',
    })
    .meta({ oneOf: [{ required: ['node'] }, { required: ['step'] }] }),
  /**
   * Retries a node that failed, was skipped or rolled back, or whose step has no attempt left. Or repeats a step of the
   * whole cluster that has no attempt left, or all such steps.
   */
  retry: z
    .strictObject({
      /** Name of the node. */
      node: nameSchema.optional(),
      /** The step, as the status names it. */
      step: stepSchema.optional(),
      /** All steps that wait for an answer, also those of nodes. */
      all: z.literal(true).optional(),
      ...senderFields,
    })
    .refine(({ node, step, all }) => [node, step, all].filter((value) => value !== undefined).length === 1, {
      message: 'must name exactly one of "node", "step" and "all": true',
    })
    .meta({ oneOf: [{ required: ['node'] }, { required: ['step'] }, { required: ['all'] }] }),
  /** Rolls one node back to Canal; or all nodes, and removes Cilium from the cluster. */
  rollback: z
    .strictObject({
      /** Name of a node. */
      node: nameSchema.optional(),
      /** All nodes, and Cilium itself. */
      all: z.literal(true).optional(),
      /**
       * Starts it at once, also outside the maintenance windows of the input. A node that is not migrated completely is
       * always rolled back at once.
       * @default false
       */
      outsideWindows: z.boolean().optional(),
      ...senderFields,
    })
    .refine((message) => (message.node === undefined) !== (message.all === undefined), {
      message: 'must name either "node" or "all": true',
    })
    .meta({ oneOf: [{ required: ['node'] }, { required: ['all'] }] }),
  /**
   * Ends the migration. Nodes in progress are restored; migrated nodes stay migrated. A new run continues from there.
   */
  abort: z.strictObject(senderFields),
  /** Changes the number of nodes per wave, from the next wave on. */
  setMaxConcurrency: z.strictObject({
    /** Maximum number of nodes in one wave. */
    maxConcurrency: z.int().min(1).max(maxWaveSize),
    ...senderFields,
  }),
  /**
   * Deletes a pod, within its own grace period, that an eviction cannot move: without consent, or blocked by a budget.
   */
  forcePod: z.strictObject({
    /** The pod, `namespace/name`. */
    pod: podKeySchema,
    ...senderFields,
  }),
} as const;

/** Every message by its name. */
export type Messages = { [Name in keyof typeof messageSchemas]: z.output<(typeof messageSchemas)[Name]> };

/** Name of a message. */
export type MessageName = keyof Messages;

/** All names, for the registration of handlers. */
export const messageNames = Object.keys(messageSchemas) as MessageName[];

/**
 * Parses a message.
 * @returns the message, or the problem in one line.
 */
export function parseMessage<Name extends MessageName>(
  messageName: Name,
  raw: unknown
): { message: Messages[Name] } | { problem: string } {
  return parseWithSchema<Messages[Name]>(messageSchemas[messageName], raw);
}

/**
 * Parses received data as a message with a schema.
 * @returns the message, or the problem in one line.
 */
export function parseWithSchema<Message>(schema: z.ZodType, raw: unknown): { message: Message } | { problem: string } {
  if (isMalformed(raw)) return { problem: `the message: ${raw.problem}` };
  const [problem] = untrustedProblems(raw);
  if (problem !== undefined) return { problem };
  // Messages whose only fields are about their sender may have no payload.
  const result = schema.safeParse(raw ?? {});
  if (result.success) return { message: result.data as Message };
  return { problem: formatProblems(result.error, 'the message').join('; ') };
}
