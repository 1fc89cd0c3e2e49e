import { ApplicationFailure } from '@temporalio/workflow';
import { conflictingValues } from './model/helm-values.ts';
import { parseInput, type MigrationInput } from './model/input.ts';

/** Reads a workflow's input. @throws ApplicationFailure InvalidInput, with one line for each thing that is wrong. */
export function parseMigration(raw: unknown): MigrationInput {
  const parsed = parseInput(raw);
  const problems =
    'problems' in parsed
      ? parsed.problems
      : conflictingValues(parsed.input).map((path) => `values.${path}: is set by the migration itself; leave it out`);
  if ('input' in parsed && problems.length === 0) return parsed.input;
  throw ApplicationFailure.nonRetryable(`the input is not a migration:\n${problems.join('\n')}`, 'InvalidInput');
}
