import { isSecret } from './secrets.ts';

/** No input or message that makes sense is deeper, has more in it, or is longer. */
const maxDepth = 30;
const maxEntries = 20_000;
const maxCharacters = 250_000;

/** So many are told, each of at most so many characters of its path. */
const maxProblems = 20;
const maxPath = 200;

/** Names that mean something to JavaScript itself. */
const ownNames: readonly string[] = ['__proto__', 'constructor', 'prototype'];

/**
 * What is wrong with data from outside, before anybody reads it for what it means: too much of it, names that are none, and
 * secrets. By path; what is there is never quoted. Walks without recursion, so that no depth of it can end the walk.
 */
export function untrustedProblems(value: unknown): string[] {
  const problems: string[] = [];
  const open: { value: unknown; path: string; depth: number }[] = [{ value, path: '', depth: 0 }];
  let entries = 0;
  let characters = 0;
  const tell = (path: string, problem: string): void => {
    if (problems.length < maxProblems) problems.push(`${path.slice(0, maxPath) || 'the input'}: ${problem}`);
  };
  for (let next = open.pop(); next !== undefined; next = open.pop()) {
    const { path, depth } = next;
    if (typeof next.value === 'string') {
      characters += next.value.length;
      if (isSecret(path, next.value)) tell(path, secretAdvice);
    }
    const inside = entriesOf(next.value);
    if (inside === undefined) continue;
    if (depth === maxDepth) return [`the input: is nested deeper than ${maxDepth} levels`];
    for (const [key, below] of inside) {
      entries++;
      characters += key.length;
      const where = path === '' ? key : `${path}.${key}`;
      if (ownNames.includes(key)) tell(where, 'is no name');
      if (entries <= maxEntries) open.push({ value: below, path: where, depth: depth + 1 });
    }
    if (entries > maxEntries) return [`the input: has more than ${maxEntries} entries`];
  }
  return characters > maxCharacters ? [`the input: has more than ${maxCharacters} characters`] : problems;
}

function entriesOf(value: unknown): [string, unknown][] | undefined {
  return typeof value === 'object' && value !== null ? Object.entries(value) : undefined;
}

const secretAdvice =
  "looks like a secret. Put it into a Secret of the cluster and name that; this run's history keeps what was sent: delete " +
  'the run (temporal workflow delete), and replace the secret';
