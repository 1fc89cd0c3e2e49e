import { isSecret } from './secrets.ts';

/** Limits of an input or message. No valid one is deeper, has more entries or is longer. */
const maxDepth = 30;
const maxEntries = 20_000;
const maxCharacters = 250_000;

const tooManyEntries = `has more than ${maxEntries} entries`;

/** Maximum number of reported problems, and of characters of the path of each. */
const maxProblems = 20;
const maxPath = 200;

/** Length of the end of a name that is compared with names of secrets, in characters. */
const maxName = 100;

/** Names with a special meaning in JavaScript. */
const reservedKeys: readonly string[] = ['__proto__', 'constructor', 'prototype'];

/** A part of untrusted data. */
interface Part {
  value: unknown;
  /** Path within the data; of limited length. */
  path: string;
  /** Name of its field; for an item of a list, that of the list. */
  name: string;
  isReserved: boolean;
  depth: number;
}

/**
 * Returns the problems of untrusted data, before it is parsed: exceeded limits, reserved names, and secrets. Problems
 * contain paths and never values. Texts are only searched when the data is within the limits.
 */
export function untrustedProblems(value: unknown): string[] {
  const problems: string[] = [];
  const addProblem = (path: string, problem: string): void => {
    if (problems.length < maxProblems) problems.push(`${path || 'the input'}: ${problem}`);
  };
  const listed = listParts(value);
  if ('problem' in listed) return [`the input: ${listed.problem}`];
  for (const { value: part, path, name, isReserved } of listed.parts) {
    if (isReserved) addProblem(path, 'is a reserved name');
    if (typeof part === 'string' && isSecret(name, part)) addProblem(path, secretAdvice);
  }
  return problems;
}

/** Returns why data is larger than any valid input or message; undefined when it is not. */
export function exceededLimit(value: unknown): string | undefined {
  const listed = listParts(value);
  return 'problem' in listed ? listed.problem : undefined;
}

/**
 * Lists all parts of untrusted data, or returns the limit that it exceeds. The walk is iterative, so that no depth can
 * overflow the stack, and its work is in proportion to the limits, not to the data.
 */
function listParts(value: unknown): { parts: Part[] } | { problem: string } {
  const parts: Part[] = [];
  const pending: Part[] = [{ value, path: '', name: '', isReserved: false, depth: 0 }];
  let entries = 0;
  let characters = 0;
  for (let next = pending.pop(); next !== undefined; next = pending.pop()) {
    parts.push(next);
    const { value: part, path, name, depth } = next;
    if (typeof part === 'string') characters += part.length;
    if (Array.isArray(part) && part.length > maxEntries) return { problem: tooManyEntries };
    for (const [key, child] of listEntries(part)) {
      if (depth === maxDepth) return { problem: `is nested deeper than ${maxDepth} levels` };
      if (++entries > maxEntries) return { problem: tooManyEntries };
      characters += key.length;
      const isReserved = reservedKeys.includes(key);
      const childName = Array.isArray(part) ? name : key.slice(-maxName);
      const childPath = (path === '' ? key : `${path}.${key}`).slice(0, maxPath);
      pending.push({ value: child, path: childPath, name: childName, isReserved, depth: depth + 1 });
    }
    if (characters > maxCharacters) return { problem: `has more than ${maxCharacters} characters` };
  }
  return { parts };
}

function listEntries(value: unknown): [string, unknown][] {
  return typeof value === 'object' && value !== null ? Object.entries(value) : [];
}

const secretAdvice =
  'looks like a secret. Put it into a Secret of the cluster and refer to that by name. The history of the run may contain ' +
  'the value: delete the run (temporal workflow delete), and rotate the secret';
