import { createHash } from 'node:crypto';
import { hostname } from 'node:os';
import type { EncryptionKeys } from './keys.ts';

/** Number of hexadecimal digits of the host's digest. */
const hostDigits = 12;

/**
 * Returns the identity under which this process is known to Temporal, as an option of its clients and workers. With
 * encryption it has a digest instead of the host name, which in a cluster is the name of a node.
 */
export function identityOption(keys: EncryptionKeys | undefined): { identity?: string } {
  if (keys === undefined) return {};
  return { identity: `${process.pid}@${createHash('sha256').update(hostname()).digest('hex').slice(0, hostDigits)}` };
}
