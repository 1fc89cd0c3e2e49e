import type { Answer } from './status.ts';

/** A word in single quotes, which a shell takes as it is. */
export function shellQuote(word: string): string {
  return `'${word.replaceAll("'", `'\\''`)}'`;
}

/** A command line for a shell. Quotes the words that a shell would not take as they are. */
export function shellCommand(words: readonly string[]): string {
  return words.map((word) => (/^[\w@%+=:,./-]+$/.test(word) ? word : shellQuote(word))).join(' ');
}

/** The Temporal CLI's command line for a message. */
export function signalCommand(workflowId: string, { message, input }: Answer): string {
  const signal = `temporal workflow signal --workflow-id ${shellQuote(workflowId)} --name ${message}`;
  return `${signal} --input ${shellQuote(JSON.stringify({ ...input, by: 'YOUR NAME' }))}`;
}
