import type { z } from 'zod';
import { summarizeLines } from './summarize.ts';

/** Limits of a failure, which is kept in the history: it must not grow with the size of the input. */
const maxProblems = 20;
const maxProblemLength = 300;

/** Returns one line per problem; `rootName` names the data in problems without a field. */
export function formatProblems(error: Pick<z.ZodError, 'issues'>, rootName: string): string[] {
  const lines = error.issues.map((issue) => {
    const location = issue.path.length > 0 ? issue.path.join('.') : rootName;
    return `${location}: ${issue.message}`.slice(0, maxProblemLength);
  });
  return summarizeLines(lines, maxProblems, 'problems');
}

/**
 * Returns one line per problem of data that another build of this service may have written. Fields that this build does not
 * know are no problem: none of its code reads them.
 */
export function knownFieldProblems(schema: z.ZodType | undefined, data: unknown, rootName: string): string[] {
  const error = schema?.safeParse(data).error;
  if (error === undefined) return [];
  return formatProblems({ issues: error.issues.filter(({ code }) => code !== 'unrecognized_keys') }, rootName);
}
