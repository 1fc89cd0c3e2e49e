import { isSecret } from './secrets.ts';

/** Limits of an input or message. No valid one is deeper, has more entries or is longer. */
const maxDepth = 30;
const maxEntries = 20_000;
const maxCharacters = 250_000;

/** Maximum number of reported problems, and of characters of the path in each. */
const maxProblems = 20;
const maxPath = 200;

/** Names with a special meaning in JavaScript. */
const reservedKeys: readonly string[] = ['__proto__', 'constructor', 'prototype'];

/**
 * Returns the problems of untrusted data, before it is parsed: exceeded limits, reserved names, and secrets. Problems
 * contain paths and never values. The walk is iterative, so that no depth can overflow the stack.
 */
export function untrustedProblems(value: unknown): string[] {
  const problems: string[] = [];
  const pending: { value: unknown; path: string; depth: number }[] = [{ value, path: '', depth: 0 }];
  let entries = 0;
  let characters = 0;
  const addProblem = (path: string, problem: string): void => {
    if (problems.length < maxProblems) problems.push(`${path.slice(0, maxPath) || 'the input'}: ${problem}`);
  };
  for (let next = pending.pop(); next !== undefined; next = pending.pop()) {
    const { path, depth } = next;
    if (typeof next.value === 'string') {
      characters += next.value.length;
      if (isSecret(path, next.value)) addProblem(path, secretAdvice);
    }
    const children = listEntries(next.value);
    if (children === undefined) continue;
    if (depth === maxDepth) return [`the input: is nested deeper than ${maxDepth} levels`];
    for (const [key, child] of children) {
      entries++;
      characters += key.length;
      const childPath = path === '' ? key : `${path}.${key}`;
      if (reservedKeys.includes(key)) addProblem(childPath, 'is a reserved name');
      if (entries <= maxEntries) pending.push({ value: child, path: childPath, depth: depth + 1 });
    }
    if (entries > maxEntries) return [`the input: has more than ${maxEntries} entries`];
  }
  return characters > maxCharacters ? [`the input: has more than ${maxCharacters} characters`] : problems;
}

function listEntries(value: unknown): [string, unknown][] | undefined {
  return typeof value === 'object' && value !== null ? Object.entries(value) : undefined;
}

const secretAdvice =
  'looks like a secret. Put it into a Secret of the cluster and refer to that by name. The history of the run may contain ' +
  'the value: delete the run (temporal workflow delete), and rotate the secret';
