import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { z } from 'zod';
import type { Artefact } from './artefact.ts';

const archiveSchema = z.object({
  name: z.string().regex(/^[a-z0-9-]+$/),
  key: z.string().regex(/^[0-9a-f]{12}$/),
  /** Name of a file next to the list: no folder, and no characters that a URL or a shell interprets. */
  file: z.string().regex(/^[a-z0-9][a-z0-9.-]*\.tar\.zst$/),
  size: z.int().positive(),
  sha256: z.string().regex(/^[0-9a-f]{64}$/),
});

const listSchema = z.object({ archives: z.array(archiveSchema) });

/** An archive of one tool, in a bundle. */
export type PrebuiltArchive = z.infer<typeof archiveSchema>;

/** File in a bundle that lists its archives; the project has one of the same format for the archives that it trusts. */
export const listFile = 'prebuilt.json';

/**
 * Parses a list of archives.
 * @throws Error that names the first invalid part.
 */
export function parsePrebuiltList(text: string): readonly PrebuiltArchive[] {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch {
    throw new Error('the list is not valid JSON');
  }
  const parsed = listSchema.safeParse(json);
  if (parsed.success) return parsed.data.archives;
  const [issue] = parsed.error.issues;
  throw new Error(`the list is malformed at ${issue?.path.join('.') ?? ''}: ${issue?.message ?? ''}`);
}

/** Formats a list as text; the same archives give the same text. */
export function formatPrebuiltList(archives: readonly PrebuiltArchive[]): string {
  const sorted = [...archives].sort((a, b) => (a.name < b.name ? -1 : 1));
  return `${JSON.stringify({ archives: sorted }, undefined, 2)}\n`;
}

/** Reads the project's own list: archives with these digests are taken from any bundle. */
export async function readCommittedList(): Promise<readonly PrebuiltArchive[]> {
  return parsePrebuiltList(await readFile(path.join(import.meta.dirname, listFile), 'utf8'));
}

/** Returns the archive of an artefact with exactly its key. */
export function findArchive(archives: readonly PrebuiltArchive[], artefact: Artefact): PrebuiltArchive | undefined {
  return archives.find(({ name, key }) => name === artefact.name && key === artefact.key);
}
