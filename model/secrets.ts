/**
 * Detection of secrets in an input. Temporal keeps inputs in a history for months, readable for more people than may
 * know the secret. Secrets are detected by the name of their field, or by their format. Each pattern takes time in
 * proportion to the length of the text, also of a text that is made to delay it: any client can send one.
 */

/** Names of fields that contain a secret itself, not the name of a Secret. */
const secretNames =
  /(^|[-_.])(password|passwd|passphrase|pass|pwd|token|bearer|credentials?|secret)$|(api|access|secret|private|encryption)[-_]?key$|(password|token|client_?secret)$/i;

/** Formats of secrets, in a field of any name. */
const secretPatterns: readonly RegExp[] = [
  /-----BEGIN [A-Z ]{0,40}PRIVATE KEY-----/,
  // The last of these words in base64, in each of its three alignments.
  /UFJJVkFURSBLRV|BSSVZBVEUgS0VZ|QUklWQVRFIEtFW/,
  // A JSON web token, such as that of a service account. It is found at its first full stop: a search for its start would
  // read the rest of the text again at each of many starts.
  /\.(?<=\beyJ[\w-]{10,}\.)eyJ[\w-]{10,}\.[\w-]{10}/,
  /client-key-data\s*(?:["']\s*)?:/,
  // What Docker's configuration has for each registry.
  /["']auths?["']\s*:/,
  /\bAKIA[0-9A-Z]{16}\b/,
  // Tokens of GitHub, GitLab and Slack.
  /\bgh[oprsu]_[A-Za-z0-9]{30}|\bgithub_pat_\w{30}|\bglpat-[\w-]{20}|\bxox[abeoprs]-[\w-]{10}/,
  // A URL with a password.
  /:\/\/[^\s/?#@:"']{0,200}:[^\s/?#@"']{1,200}@/,
];

/**
 * True when a text looks like a secret.
 * @param name name of its field, or the last part of it.
 */
export function isSecret(name: string, text: string): boolean {
  return (text !== '' && secretNames.test(name)) || secretPatterns.some((pattern) => pattern.test(text));
}
