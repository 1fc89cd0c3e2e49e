import { createReadStream } from 'node:fs';
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { Readable } from 'node:stream';

/** Source of the files of a bundle. */
export interface BundleSource {
  /** Location as the user gave it, without a password. */
  name: string;
  /**
   * Reads a small file.
   * @throws Error with the reason in one line.
   */
  readText: (file: string) => Promise<string>;
  /**
   * Opens a file for reading.
   * @throws Error as `readText`.
   */
  open: (file: string) => Promise<Readable>;
}

/** Time without data after which a server is given up, in ms. */
const defaultIdleMs = 30_000;

/** Maximum size of a text file in bytes: far more than a list of archives has. */
const textBytes = 1024 * 1024;

/**
 * Opens a bundle.
 * @param location a folder, or an https URL of one; http is accepted from this machine only.
 * @param idleMs time without data after which a server is given up, in ms. @default 30 s
 * @throws Error for a location of another kind.
 */
export function openBundleSource(location: string, idleMs = defaultIdleMs): BundleSource {
  if (!/^[a-z][a-z0-9+.-]*:\/\//i.test(location)) return folderSource(path.resolve(location));
  const base = new URL(location.endsWith('/') ? location : `${location}/`);
  requireSafe(base);
  return urlSource(base, idleMs);
}

function folderSource(dir: string): BundleSource {
  return {
    name: dir,
    readText: (file) => readFile(path.join(dir, file), 'utf8'),
    open: (file) => Promise.resolve(createReadStream(path.join(dir, file))),
  };
}

function urlSource(base: URL, idleMs: number): BundleSource {
  const request = async (file: string): Promise<Readable> => {
    const abort = new AbortController();
    const abortRequest = (): void => abort.abort(new Error(`no data for ${idleMs / 1000} s`));
    let timer = setTimeout(abortRequest, idleMs);
    try {
      const response = await fetch(new URL(file, base), { signal: abort.signal });
      requireSafe(new URL(response.url));
      if (!response.ok || response.body === null) throw new Error(`the server answers ${response.status} for ${file}`);
      const body = Readable.from(
        (async function* read(chunks: AsyncIterable<Uint8Array>) {
          try {
            for await (const chunk of chunks) {
              clearTimeout(timer);
              yield chunk;
              timer = setTimeout(abortRequest, idleMs);
            }
          } finally {
            clearTimeout(timer);
          }
        })(response.body)
      );
      return body;
    } catch (error) {
      clearTimeout(timer);
      throw new Error(describeReason(error), { cause: error });
    }
  };
  return {
    name: `${base.origin}${base.pathname}`,
    readText: async (file) => {
      const chunks: Buffer[] = [];
      let size = 0;
      for await (const chunk of await request(file)) {
        chunks.push(chunk as Buffer);
        size += (chunk as Buffer).length;
        if (size > textBytes) throw new Error(`${file} has more than ${textBytes} bytes`);
      }
      return Buffer.concat(chunks).toString('utf8');
    },
    open: request,
  };
}

function requireSafe({ protocol, hostname }: URL): void {
  const loopback = /^(localhost|127(\.\d+){3}|\[::1\])$/.test(hostname);
  if (protocol !== 'https:' && !(protocol === 'http:' && loopback)) {
    throw new Error(`${protocol}//${hostname} is no https address`);
  }
}

/** Returns the reason of a failure in one line: `fetch` itself only reports that it failed. */
export function describeReason(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const { cause } = error;
  if (error.message === 'fetch failed' && cause instanceof Error) {
    return (cause as NodeJS.ErrnoException).code ?? cause.message;
  }
  return error.message.split('\n')[0] ?? '';
}
