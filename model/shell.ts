import type { Answer } from './decision.ts';

/** Control characters, line ends and tabs included, and those that change how a line is shown. */
const controls = /[\p{Cc}\p{Cf}\p{Cs}\u2028\u2029]/u;

/**
 * Quotes a word for a shell, in single quotes; with control characters, in the quotes `$'…'` of bash and zsh, so that it
 * is one line and changes nothing around it.
 */
export function shellQuote(word: string): string {
  if (controls.test(word)) return `$'${Array.from(word, escapeCharacter).join('')}'`;
  return `'${word.replaceAll("'", `'\\''`)}'`;
}

function escapeCharacter(character: string): string {
  if (character === "'" || character === '\\') return `\\${character}`;
  const point = character.codePointAt(0) ?? 0;
  return controls.test(character) ? `\\U${point.toString(16).padStart(8, '0')}` : character;
}

/** Formats a command line for a shell. Quotes words with special characters. */
export function shellCommand(words: readonly string[]): string {
  return words.map((word) => (/^[\w@%+=:,./-]+$/.test(word) ? word : shellQuote(word))).join(' ');
}

/** A workflow, as the Temporal CLI finds it. */
export interface WorkflowAddress {
  workflowId: string;
  namespace: string;
}

/** Returns the command line of the Temporal CLI that sends a message and prints the answer. */
export function updateCommand({ workflowId, namespace }: WorkflowAddress, { message, input }: Answer): string {
  const connection = namespace === 'default' ? '' : ` --namespace ${shellQuote(namespace)}`;
  const update = `temporal workflow update execute${connection} --workflow-id ${shellQuote(workflowId)} --name ${message}`;
  return `${update} --input ${shellQuote(JSON.stringify({ ...input, by: 'YOUR NAME' }))}`;
}
