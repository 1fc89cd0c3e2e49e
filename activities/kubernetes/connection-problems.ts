/** Codes of Node.js for a connection that was not established, or was lost; and of a certificate that is not accepted. */
const connectionCodes: readonly string[] = [
  ...['ECONNREFUSED', 'ECONNRESET', 'ECONNABORTED', 'EPIPE', 'ETIMEDOUT', 'ENOTFOUND', 'EAI_AGAIN', 'EPROTO'],
  ...[
    'EHOSTUNREACH',
    'EHOSTDOWN',
    'ENETUNREACH',
    'ENETDOWN',
    'ENETRESET',
    'EADDRNOTAVAIL',
    'ENOBUFS',
    'EMFILE',
    'ENFILE',
  ],
  ...['CERT_HAS_EXPIRED', 'CERT_NOT_YET_VALID', 'CERT_REVOKED', 'CERT_UNTRUSTED', 'CERT_SIGNATURE_FAILURE'],
  ...['DEPTH_ZERO_SELF_SIGNED_CERT', 'SELF_SIGNED_CERT_IN_CHAIN', 'UNABLE_TO_VERIFY_LEAF_SIGNATURE'],
  ...['UNABLE_TO_GET_ISSUER_CERT', 'UNABLE_TO_GET_ISSUER_CERT_LOCALLY', 'HOSTNAME_MISMATCH', 'INVALID_CA'],
];

/** Prefixes of codes of undici, of its parser, of TLS and of OpenSSL. */
const connectionPrefixes: readonly string[] = ['UND_ERR_', 'HPE_', 'ERR_TLS_', 'ERR_SSL_'];

/** Names of the errors of a request that was cancelled, or exceeded its timeout. */
const abortNames: readonly string[] = ['AbortError', 'TimeoutError'];

/** Messages of the TypeErrors with which undici's `fetch` reports a lost connection (undici lib/web/fetch/index.js). */
const fetchMessages: readonly string[] = ['fetch failed', 'terminated'];

/** Maximum number of causes that are followed. */
const maxCauses = 10;

/**
 * Returns true for an error of the connection itself: no answer, or only a part of one. Any other error without an HTTP
 * status, such as a RangeError, is a bug or a limit of this service, which no repair of a network removes.
 */
export function isConnectionProblem(error: unknown): boolean {
  let current = error;
  for (let depth = 0; depth < maxCauses && typeof current === 'object' && current !== null; depth++) {
    if (isConnectionError(current)) return true;
    current = (current as Error).cause;
  }
  return false;
}

function isConnectionError(error: Partial<Record<'name' | 'message' | 'code', unknown>>): boolean {
  // An AbortSignal's error has a number as its code.
  const { name, message, code } = error;
  if (typeof code === 'string') {
    if (connectionCodes.includes(code) || connectionPrefixes.some((prefix) => code.startsWith(prefix))) return true;
  }
  if (abortNames.includes(String(name))) return true;
  return name === 'TypeError' && fetchMessages.includes(String(message));
}
