/**
 * Detection of secrets in an input. Temporal keeps inputs in a history for months, readable for more people than may
 * know the secret. Secrets are detected by the name of their field, or by their format.
 */

/** Names of fields that contain a secret itself, not the name of a Secret. */
const secretNames =
  /(^|[-_.])(password|passwd|token|bearer|credentials?)$|(api|access|secret|private|encryption)[-_]?key$|(Password|Token)$/i;

/** Formats of secrets, in a field of any name. */
const secretPatterns: readonly RegExp[] = [
  /-----BEGIN [A-Z ]*PRIVATE KEY-----/,
  // The last of these words in base64, in each of its three alignments.
  /UFJJVkFURSBLRV|BSSVZBVEUgS0VZ|QUklWQVRFIEtFW/,
  // A JSON web token, such as that of a service account.
  /\beyJ[\w-]{10,}\.eyJ[\w-]{10,}\.[\w-]{10,}/,
  /client-key-data\s*["']?\s*:/,
  /\bAKIA[0-9A-Z]{16}\b/,
];

/**
 * True when a text looks like a secret.
 * @param path path of the text within the input; its last name is checked too.
 */
export function isSecret(path: string, text: string): boolean {
  const name = path.split('.').at(-1) ?? '';
  return (text !== '' && secretNames.test(name)) || secretPatterns.some((pattern) => pattern.test(text));
}
