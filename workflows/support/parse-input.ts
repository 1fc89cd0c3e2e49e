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
  throw ApplicationFailure.nonRetryable(
    `the input is not a valid migration:\n${parsed.problems.join('\n')}`,
    'InvalidInput'
  );
}
