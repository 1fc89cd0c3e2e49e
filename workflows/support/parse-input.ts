import { ApplicationFailure } from '@temporalio/workflow';
import type { MigrationInput } from '../../model/input.ts';
import { parseRequest } from '../../model/parse-request.ts';

/**
 * Parses a workflow's input.
 * @throws ApplicationFailure InvalidInput, with one line per problem.
 */
export function parseMigration(raw: unknown): MigrationInput {
  const parsed = parseRequest(raw);
  if ('input' in parsed) return parsed.input;
  throw invalidRequest(parsed.problems);
}

/** Returns the failure for a request with problems. */
export function invalidRequest(problems: readonly string[]): ApplicationFailure {
  return ApplicationFailure.nonRetryable(`the input is not a valid migration:\n${problems.join('\n')}`, 'InvalidInput');
}
