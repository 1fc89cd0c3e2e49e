import { conflictingValues } from './helm-values.ts';
import { type MigrationInput, parseInput } from './input.ts';
import { refusedValues } from './refused-values.ts';

/**
 * Parses the input that a workflow is started with, and refuses values that the migration sets itself, or that
 * contradict it.
 */
export function parseRequest(raw: unknown): { input: MigrationInput } | { problems: string[] } {
  const parsed = parseInput(raw);
  if ('problems' in parsed) return parsed;
  const problems = [
    ...conflictingValues(parsed.input).map((path) => `values.${path}: is set by the migration; remove it`),
    ...refusedValues(parsed.input.values),
  ];
  return problems.length === 0 ? parsed : { problems };
}
