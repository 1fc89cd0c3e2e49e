import { z } from 'zod';

/** Version of the contract: inputs, messages, results of queries and workflows, failures and search attributes. */
export const apiVersion = 'cni-migration/v1';

/** The version that this worker knows. */
export type ApiVersion = typeof apiVersion;

/** A result with the version of its fields. */
export type Versioned<Result> = { apiVersion: ApiVersion } & Result;

/** Versions that may be quoted: anything else may be a secret in the wrong field. */
const quotable = /^[A-Za-z0-9./-]{1,60}$/;

/** Schema of the field `apiVersion` of an input or message; another version is refused. */
export const apiVersionSchema = z.literal(apiVersion, {
  error: ({ input }) => {
    const other = typeof input === 'string' && quotable.test(input) ? `; this worker does not know ${input}` : '';
    return `must be ${apiVersion}${other}`;
  },
});

/** Field of a message: its version. Messages without it are read as the current version. */
export const messageVersion = {
  /** Version of the message. */
  apiVersion: apiVersionSchema.optional().meta({ default: apiVersion }),
};

/** Fields that every input has: its version, and the schema that editors use. */
export const inputVersion = {
  /** Schema for editors, such as `docs/reference/migration.schema.json`; ignored. */
  $schema: z.string().max(2_000).optional(),
  /**
   * Version of the input.
   * @default cni-migration/v1
   */
  apiVersion: apiVersionSchema.default(apiVersion),
};

/** Returns the input without the field for editors. */
export function withoutEditorSchema<Input extends { $schema?: string | undefined }>({
  $schema,
  ...input
}: Input): Omit<Input, '$schema'> {
  return input;
}

/** Returns the result with the version of its fields; undefined for no result. */
export function withApiVersion<Result extends object>(result: Result): Versioned<Result>;
export function withApiVersion<Result extends object>(result: Result | undefined): Versioned<Result> | undefined;
export function withApiVersion<Result extends object>(result: Result | undefined): Versioned<Result> | undefined {
  return result && { apiVersion, ...result };
}
