import type { z } from 'zod';
import { summarizeLines } from './summarize.ts';

/** A failure is kept in the history: it is not to grow with what was sent. */
const maxProblems = 20;
const maxProblemLength = 300;

/** One line for each thing that is wrong; `whole` names what was read, for problems of no single field. */
export function problemsOf(error: z.ZodError, whole: string): string[] {
  const lines = error.issues.map((issue) => {
    const where = issue.path.length > 0 ? issue.path.join('.') : whole;
    return `${where}: ${issue.message}`.slice(0, maxProblemLength);
  });
  return summarizeLines(lines, maxProblems, 'problems');
}
