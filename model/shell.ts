import type { Answer } from './decision.ts';

/** Quotes a word for a shell, in single quotes. */
export function shellQuote(word: string): string {
  return `'${word.replaceAll("'", `'\\''`)}'`;
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
