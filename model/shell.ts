import type { Answer } from './decision.ts';

/** Quotes a word for a shell, in single quotes. */
export function shellQuote(word: string): string {
  return `'${word.replaceAll("'", `'\\''`)}'`;
}

/** Formats a command line for a shell. Quotes words with special characters. */
export function shellCommand(words: readonly string[]): string {
  return words.map((word) => (/^[\w@%+=:,./-]+$/.test(word) ? word : shellQuote(word))).join(' ');
}

/** Returns the command line of the Temporal CLI that sends a message. */
export function signalCommand(workflowId: string, { message, input }: Answer): string {
  const signal = `temporal workflow signal --workflow-id ${shellQuote(workflowId)} --name ${message}`;
  return `${signal} --input ${shellQuote(JSON.stringify({ ...input, by: 'YOUR NAME' }))}`;
}
