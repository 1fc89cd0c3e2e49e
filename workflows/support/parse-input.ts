import { ApplicationFailure } from '@temporalio/workflow';
import type { MigrationInput } from '../../model/input.ts';
import { checkNodeInput, type NodeWorkflowInput } from '../../model/node-input.ts';
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

/**
 * Parses the input of a node's workflow. It is returned as it is: the migration has resolved it, perhaps with another build.
 * @throws ApplicationFailure InvalidInput, with one line per problem.
 */
export function parseNodeInput(raw: unknown): NodeWorkflowInput {
  const parsed = checkNodeInput(raw);
  if ('input' in parsed) return parsed.input;
  const problems = parsed.problems.join('\n');
  throw ApplicationFailure.nonRetryable(`the input is not that of a node's workflow:\n${problems}`, 'InvalidInput');
}

/** Returns the failure for a request with problems. */
export function invalidRequest(problems: readonly string[]): ApplicationFailure {
  return ApplicationFailure.nonRetryable(`the input is not a valid migration:\n${problems.join('\n')}`, 'InvalidInput');
}
