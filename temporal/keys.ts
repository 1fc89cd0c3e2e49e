import { createHmac } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { z } from 'zod';
import { parse } from 'yaml';
import { formatProblems } from '../model/problems.ts';

/** Encryption keys for payloads: new payloads use `current`, old ones the key with which they were encrypted. */
export interface EncryptionKeys {
  current: string;
  keys: ReadonlyMap<string, Buffer>;
  /**
   * What received payloads must be. Set by `CNI_MIGRATION_REQUIRE_ENCRYPTION`.
   * @default payloads may be plain
   */
  require?: EncryptionRequirement | undefined;
}

/** What received payloads must be: encrypted; or encrypted for the workflow that receives them. */
export const encryptionRequirements = ['encrypted', 'bound'] as const;

/** One of {@link encryptionRequirements}. */
export type EncryptionRequirement = (typeof encryptionRequirements)[number];

const keysSchema = z
  .strictObject({
    current: z.string().min(1),
    keys: z.record(z.string(), z.base64({ error: 'must be base64' })),
  })
  .refine(({ current, keys }) => current in keys, { path: ['current'], message: 'must be the ID of one of the keys' });

/** Length of an AES-256 key, in bytes. */
const keyBytes = 32;

/** Name of the variable with the requirement. */
const requireVariable = 'CNI_MIGRATION_REQUIRE_ENCRYPTION';

/**
 * Reads the keys from the file in the variable `CNI_MIGRATION_KEYS`, and the requirement from
 * `CNI_MIGRATION_REQUIRE_ENCRYPTION`; undefined when neither is set.
 * @throws Error that quotes no key; also for a requirement without keys.
 */
export async function loadConfiguredKeys(env: NodeJS.ProcessEnv): Promise<EncryptionKeys | undefined> {
  const file = env['CNI_MIGRATION_KEYS'];
  const required = parseRequirement(env[requireVariable]);
  if (file !== undefined) return { ...(await readKeyFile(file)), require: required };
  if (required !== undefined) throw new Error(`${requireVariable} needs keys: set CNI_MIGRATION_KEYS, too`);
  return undefined;
}

function parseRequirement(text: string | undefined): EncryptionRequirement | undefined {
  if (text === undefined || text === '') return undefined;
  const requirement = encryptionRequirements.find((known) => known === text);
  if (requirement !== undefined) return requirement;
  throw new Error(`${requireVariable} must be ${encryptionRequirements.join(' or ')}, not ${text}`);
}

/**
 * Returns the secret of which IDs are computed that would otherwise contain the name of a node. It is derived from the
 * oldest key by name, so that it stays when a key is added.
 */
export function computeNodeIdSecret({ keys }: EncryptionKeys): string {
  const [[, key] = []] = [...keys].sort(([a], [b]) => (a < b ? -1 : 1));
  return createHmac('sha256', key ?? '')
    .update('IDs of nodes')
    .digest('hex');
}

/**
 * Reads a key file, `{current: id, keys: {id: base64 of 32 bytes}}`.
 * @throws Error that quotes no key.
 */
export async function readKeyFile(file: string): Promise<EncryptionKeys> {
  const text = await readFile(file, 'utf8').catch((error: unknown) => {
    throw new Error(`cannot read the key file ${file}: ${(error as NodeJS.ErrnoException).code ?? 'unknown'}`);
  });
  let raw: unknown;
  try {
    raw = parse(text);
  } catch {
    // The parser's message would quote the content of the file.
    throw new Error(`the key file ${file} is not valid YAML`);
  }
  const result = keysSchema.safeParse(raw);
  if (!result.success) throw new Error(`the key file ${file}: ${formatProblems(result.error, 'the file').join('; ')}`);
  const keys = new Map(Object.entries(result.data.keys).map(([id, key]) => [id, Buffer.from(key, 'base64')]));
  for (const [id, key] of keys) {
    if (key.length !== keyBytes)
      throw new Error(`the key file ${file}: the key "${id}" has ${key.length} bytes; it must have ${keyBytes}`);
  }
  return { current: result.data.current, keys };
}
