/** Replaces the removed part of a text. */
const removed = '<removed>';

/** Names of keys whose value may be a secret. The length of the rest of a name is limited, so that the search is linear. */
const secretName =
  '[\\w.-]{0,60}(?:token|password|passwd|passphrase|secret|credentials?|bearer|api_?key|[_-]key|privatekey|accesskey|-data)|pass|pwd';

/** What is removed from a text, with what it is replaced by. */
const removals: readonly (readonly [pattern: RegExp, replacement: string])[] = [
  [/-----BEGIN [A-Z ]{0,40}PRIVATE KEY-----[^-]*(?:-----END [A-Z ]{0,40}-----)?/g, removed],
  // A header and its credentials, in any notation.
  [
    /(\b(?:proxy-)?authorization\b["']?\s*[:=]\s*["']?)(?:(?:basic|bearer|digest|negotiate)\s+)?[^\s"',}]+/gi,
    `$1${removed}`,
  ],
  [/\b(basic|bearer)\s+[\w.~+/=-]{8,}/gi, `$1 ${removed}`],
  // A value in quotes may contain quotes that are escaped.
  [
    new RegExp(
      `("?\\b(?:${secretName})\\\\?"?\\s*[:=]\\s*)("(?:[^"\\\\]|\\\\.)*"?|\\\\"(?:[^"\\\\]|\\\\[^"])*\\\\"|'[^']*'?|[^\\s,;}]+)`,
      'gi'
    ),
    `$1${removed}`,
  ],
  // The credentials in a URL.
  [/(:\/\/)[^\s/?#@"']{1,400}@/g, `$1${removed}@`],
  // A JSON web token, which starts with the header of every such token.
  [/\beyJ[\w-]{10,2000}\.[\w-]{2,4000}(?:\.[\w-]{0,2000})?/g, removed],
];

/**
 * Removes what looks like a secret from a text: the values of keys such as "token", headers with credentials, credentials
 * in URLs, private keys and JSON web tokens.
 */
export function withoutSecrets(text: string): string {
  return removals.reduce((left, [pattern, replacement]) => left.replaceAll(pattern, replacement), text);
}
