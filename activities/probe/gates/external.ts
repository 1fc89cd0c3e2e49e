import { Context } from '@temporalio/activity';
import { Agent, request } from 'undici';
import type { Gate } from './gate.ts';
import type { GateHosts } from './gate-address.ts';

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

/** Maximum size of an answer that is read, in bytes. */
const maxBodyBytes = 1_000_000;

/** Answer of a service. */
interface GateAnswer {
  statusCode: number;
  body: string;
}

/** Sends a GET request, and returns the answer. */
export type SendRequest = (address: URL) => Promise<GateAnswer>;

/**
 * Calls back with a function that sends requests, over connections that are closed at the end. It follows no redirection.
 * A request has an error when its host is not allowed, or when its answer is too large.
 */
export async function withRequests<T>(hosts: GateHosts, work: (send: SendRequest) => Promise<T>): Promise<T> {
  const agent = new Agent({ connect: { lookup: hosts.lookup } });
  try {
    return await work(async (address) => {
      hosts.requireHost(address.hostname);
      const timeouts = { headersTimeout: requestTimeoutMs, bodyTimeout: requestTimeoutMs };
      const { statusCode, body } = await request(address, { ...timeouts, dispatcher: agent });
      return { statusCode, body: await readBody(body) };
    });
  } finally {
    await agent.destroy();
  }
}

/**
 * Reads an answer.
 * @throws Error when it is too long; the rest is not read.
 */
export async function readBody(body: AsyncIterable<Uint8Array>): Promise<string> {
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  // Leaving the loop early closes the connection.
  for await (const chunk of body) {
    bytes += chunk.length;
    if (bytes > maxBodyBytes) throw new Error(`the answer has more than ${maxBodyBytes} bytes`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString();
}
