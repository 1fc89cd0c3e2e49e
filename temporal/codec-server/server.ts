import { timingSafeEqual } from 'node:crypto';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { isIP } from 'node:net';
import { z } from 'zod';
import type { Payload } from '@temporalio/common';
import type { Binding } from '../binding.ts';
import { EncryptionCodec } from '../encryption.ts';
import type { EncryptionKeys } from '../keys.ts';

/** Options of a codec server: its keys and its permitted clients. */
export interface CodecServerOptions {
  keys: EncryptionKeys;
  /**
   * Permitted origins of Web UIs, such as `http://localhost:8080`.
   * @default none
   */
  origins: readonly string[];
  /**
   * Token that clients must send as `Authorization: Bearer …`, or in the path, as in `/TOKEN/decode`: a Web UI without
   * users of its own sends no header.
   * @default no authentication, for requests to `localhost` or an IP address only
   */
  token?: string | undefined;
}

/** Maximum size of a request body in bytes; Temporal's own limit for one payload is 2 MB. */
const maxBody = 16 * 1024 * 1024;

/** Maximum number of payloads in a request: an encrypted payload is much larger than an empty one. */
const maxPayloads = 5_000;

/** Maximum number of entries of a payload's metadata; Temporal's own have about three. */
const maxMetadata = 20;

const metadataSchema = z
  .record(z.string(), z.string())
  .refine((metadata) => Object.keys(metadata).length <= maxMetadata, `at most ${maxMetadata} entries`);

const bodySchema = z.object({
  payloads: z
    .array(z.object({ metadata: metadataSchema.optional(), data: z.string().optional() }))
    .max(maxPayloads)
    .default([]),
});

/**
 * Creates a server that encrypts and decrypts payloads for the Temporal CLI and the Web UI: `POST /encode`, `POST
 * /decode`. `GET /livez` shows that it runs.
 */
export function createCodecServer({ keys, origins, token }: CodecServerOptions): Server {
  const codec = new EncryptionCodec(keys);
  return createServer((request, response) => {
    const { origin } = request.headers;
    if (origin !== undefined && origins.includes(origin)) {
      response.setHeader('Access-Control-Allow-Origin', origin);
      response.setHeader('Access-Control-Allow-Methods', 'POST, OPTIONS');
      response.setHeader('Access-Control-Allow-Headers', 'content-type, x-namespace, authorization');
      response.setHeader('Access-Control-Allow-Credentials', 'true');
      response.setHeader('Vary', 'Origin');
    }
    handleRequest(request, response, codec, token).catch((error: unknown) => {
      // The response describes the problem of a payload, but never quotes its content.
      const isHttpError = error instanceof HttpError;
      // The rest of the request is not read.
      if (!request.complete) response.setHeader('Connection', 'close');
      send(response, isHttpError ? error.status : 400, error instanceof Error ? error.message : 'invalid request');
    });
  });
}

class HttpError extends Error {
  readonly status: number;

  constructor(status: number, message: string) {
    super(message);
    this.status = status;
  }
}

async function handleRequest(
  request: IncomingMessage,
  response: ServerResponse,
  codec: EncryptionCodec,
  token: string | undefined
): Promise<void> {
  if (token === undefined && !isAddressed(request.headers.host))
    throw new HttpError(403, 'without a token, the codec server answers only requests to localhost or an IP address');
  if (request.method === 'OPTIONS') return send(response, 204, '');
  const { pathname } = new URL(request.url ?? '/', 'http://codec');
  if (pathname === '/livez' && request.method === 'GET') return send(response, 200, 'ok');
  const operation = findOperation(request, pathname, token);
  const payloads = parseBody(await readBody(request));
  const result =
    operation === 'encode' ? codec.encodeFor(payloads, readBinding(request)) : await codec.decode(payloads);
  response.setHeader('Content-Type', 'application/json');
  send(response, 200, JSON.stringify({ payloads: result.map(toJson) }));
}

/**
 * Returns what a request is for.
 * @throws HttpError of a request to another path, with another method, or without the token.
 */
function findOperation(request: IncomingMessage, pathname: string, token: string | undefined): string {
  const [, pathToken = '', operation] = /^(?:\/([^/]+))?\/(encode|decode)$/.exec(pathname) ?? [];
  if (operation === undefined) throw new HttpError(404, 'not found; use /encode or /decode');
  if (request.method !== 'POST') throw new HttpError(405, 'method not allowed; use POST');
  if (token !== undefined && !hasToken(request, pathToken, token))
    throw new HttpError(401, 'unauthorized; send the token as "Authorization: Bearer …"');
  return operation;
}

/**
 * Returns true for a request to `localhost` or an IP address. A page in a browser that makes its own host name resolve to
 * this server (DNS rebinding) sends that name.
 */
function isAddressed(host = ''): boolean {
  const name = host.replace(/:\d*$/, '').replace(/^\[(.*)\]$/, '$1');
  return name.toLowerCase() === 'localhost' || isIP(name) !== 0;
}

/** Header with the workflow of the payloads: `temporal … --codec-header X-Workflow-Id=ID`. */
const workflowHeader = 'x-workflow-id';

/** Returns for what a client's payloads are encrypted: the Temporal CLI and the Web UI send the namespace only. */
function readBinding({ headers }: IncomingMessage): Binding | undefined {
  const [namespace, workflowId] = [headers['x-namespace'], headers[workflowHeader]];
  if (typeof namespace !== 'string' || namespace === '') return undefined;
  return { namespace, ...(typeof workflowId === 'string' && { workflowId }) };
}

function hasToken({ headers }: IncomingMessage, pathToken: string, token: string): boolean {
  const actual = Buffer.from(headers.authorization ?? `Bearer ${pathToken}`);
  const expected = Buffer.from(`Bearer ${token}`);
  return actual.length === expected.length && timingSafeEqual(actual, expected);
}

async function readBody(request: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    size += chunk.length;
    if (size > maxBody) throw new HttpError(413, 'the request body is larger than 16 MiB');
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString();
}

/** Parses payloads in the API's JSON format: bytes in base64. */
function parseBody(text: string): Payload[] {
  let raw: unknown;
  try {
    raw = JSON.parse(text);
  } catch {
    throw new HttpError(400, 'the request body is not valid JSON');
  }
  const result = bodySchema.safeParse(raw);
  if (!result.success) {
    const limits = `at most ${maxPayloads}, each with at most ${maxMetadata} entries of metadata`;
    throw new HttpError(400, `the request body is not a list of payloads, {"payloads": […]}: ${limits}`);
  }
  return result.data.payloads.map(({ metadata = {}, data = '' }) => ({
    metadata: Object.fromEntries(Object.entries(metadata).map(([key, value]) => [key, Buffer.from(value, 'base64')])),
    data: Buffer.from(data, 'base64'),
  }));
}

function toJson({ metadata, data }: Payload): object {
  const base64 = (bytes: Uint8Array): string => Buffer.from(bytes).toString('base64');
  return {
    metadata: Object.fromEntries(Object.entries(metadata ?? {}).map(([key, value]) => [key, base64(value)])),
    data: base64(data ?? new Uint8Array()),
  };
}

function send(response: ServerResponse, status: number, body: string): void {
  response.statusCode = status;
  response.end(body);
}
