import { conflictingValues } from './helm-values.ts';
import { type MigrationInput, parseInput } from './input.ts';

/** Parses the input that a workflow is started with, and refuses values that the migration sets itself. */
export function parseRequest(raw: unknown): { input: MigrationInput } | { problems: string[] } {
  const parsed = parseInput(raw);
  if ('problems' in parsed) return parsed;
  const conflicts = conflictingValues(parsed.input);
  if (conflicts.length === 0) return parsed;
  return { problems: conflicts.map((path) => `values.${path}: is set by the migration; remove it`) };
}
