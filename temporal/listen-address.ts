/** An address to listen on. */
export interface ListenAddress {
  host: string;
  port: number;
}

/**
 * Reads an address to listen on from a variable; undefined when it is not set.
 * @throws Error unless it is `host:port` or `[host]:port`.
 */
export function parseListenAddress(env: NodeJS.ProcessEnv, name: string): ListenAddress | undefined {
  const text = env[name];
  if (text === undefined) return undefined;
  const match = /^(?:\[([\da-fA-F:.]+)\]|([\w.-]+)):(\d{1,5})$/.exec(text);
  const port = Number(match?.[3]);
  if (match === null || port > 65_535) throw new Error(`${name} must be host:port, such as 127.0.0.1:9090`);
  return { host: match[1] ?? match[2] ?? '', port };
}
