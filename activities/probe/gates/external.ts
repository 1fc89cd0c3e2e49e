import { Context } from '@temporalio/activity';
import { request } from 'undici';
import type { Gate } from './gate.ts';

/** Number of attempts before an external objection counts, the timeout of each, and the pause between them, in ms. */
const maxAttempts = 3;
const requestTimeoutMs = 10_000;
const retryDelayMs = 2_000;

/**
 * Creates a gate that asks an external service. It is asked again when it objects or does not answer: a single bad
 * answer is often not caused by the migration.
 * @param ask returns the objection; undefined when the gate holds.
 */
export function externalGate(name: string, ask: () => Promise<string | undefined>): Gate {
  const askOnce = (): Promise<string | undefined> =>
    ask().catch((error: unknown) => `cannot be evaluated: ${error instanceof Error ? error.message : String(error)}`);
  return {
    name,
    evaluate: async () => {
      for (let attempt = 1; ; attempt++) {
        const objection = await askOnce();
        if (objection === undefined) return { objections: [] };
        if (attempt >= maxAttempts) return { objections: [`${name} ${objection}`] };
        await Context.current().sleep(retryDelayMs);
      }
    },
  };
}

/** Maximum length of an answer in bytes: a longer one would exhaust the worker's memory. */
const maxAnswerBytes = 10_000_000;

/**
 * Reads an answer.
 * @throws Error when it is too long; the rest is not read.
 */
export async function readAnswer(body: AsyncIterable<Uint8Array>): Promise<string> {
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  // The end of the loop, also by an error, ends the connection.
  for await (const chunk of body) {
    bytes += chunk.length;
    if (bytes > maxAnswerBytes) throw new Error(`the answer is longer than ${maxAnswerBytes} bytes`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString();
}

/** Sends a GET request. */
export function sendRequest(address: URL) {
  return request(address, { headersTimeout: requestTimeoutMs, bodyTimeout: requestTimeoutMs });
}
