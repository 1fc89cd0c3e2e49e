import { isIP } from 'node:net';
import type { ClientConnectConfig } from '@temporalio/envconfig';
import { allowVariable, type Allowance } from '../model/allowances.ts';

type ConnectionOptions = ClientConnectConfig['connectionOptions'];

/** Address that the SDK uses when none is configured. */
const defaultAddress = 'localhost:7233';

/**
 * Requires TLS and credentials for a Temporal server on another machine, unless a connection without them is allowed by
 * name. A reader of that connection sees every plan and message, and a writer can approve them.
 * @throws Error that names the setting that allows the connection.
 */
export function requireSafeConnection(options: ConnectionOptions, allow: readonly Allowance[]): void {
  const { address = defaultAddress } = options;
  if (isThisMachine(address)) return;
  const { isEncrypted, isAuthenticated } = describeSecurity(options);
  const refuse = (problem: string, remedy: string, allowance: Allowance): void => {
    if (allow.includes(allowance)) return;
    throw new Error(
      `the connection to Temporal at ${address} ${problem}: ${remedy}, or allow it with ${allowVariable}=${allowance}`
    );
  };
  if (!isEncrypted) refuse('has no TLS', 'set TEMPORAL_TLS=true or TEMPORAL_TLS_…', 'plaintext-temporal');
  if (!isAuthenticated) {
    const remedy = 'set TEMPORAL_API_KEY, or TEMPORAL_TLS_CLIENT_CERT_PATH and TEMPORAL_TLS_CLIENT_KEY_PATH';
    refuse('has no API key and no client certificate', remedy, 'unauthenticated-temporal');
  }
}

function describeSecurity({ tls, apiKey }: ConnectionOptions): { isEncrypted: boolean; isAuthenticated: boolean } {
  const isOff = tls === false || tls === null;
  // The SDK turns TLS on for a connection with an API key, unless it is turned off explicitly.
  const isEncrypted = !isOff && (tls !== undefined || apiKey !== undefined);
  const hasCertificate = typeof tls === 'object' && tls?.clientCertPair != null;
  return { isEncrypted, isAuthenticated: apiKey !== undefined || hasCertificate };
}

/** Returns true for an address of the loopback interface, with or without a scheme and a port. */
export function isThisMachine(address: string): boolean {
  const hostAndPort = address.replace(/^[a-z][a-z+.-]*:\/\//i, '');
  const host =
    /^\[([^\]]*)\]/.exec(hostAndPort)?.[1] ??
    (isIP(hostAndPort) === 6 ? hostAndPort : hostAndPort.replace(/:\d*$/, ''));
  if (host.toLowerCase() === 'localhost') return true;
  const version = isIP(host);
  return (version === 4 && host.startsWith('127.')) || (version === 6 && /^(0*:)*:?0*1$/.test(host));
}
