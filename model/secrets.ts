/**
 * Looks for what must not be in an input: Temporal keeps it in a history for months, where more people read it than may know
 * it. What a key is called tells it, or what a text looks like.
 */

/** Names of fields that hold a secret itself, rather than the name of a Secret. */
const secretNames =
  /(^|[-_.])(password|passwd|token|bearer|credentials?)$|(api|access|secret|private|encryption)[-_]?key$|(Password|Token)$/i;

/** Texts that are secrets, whatever they are called. */
const secretTexts: readonly RegExp[] = [
  /-----BEGIN [A-Z ]*PRIVATE KEY-----/,
  // The last of these words in base64, at each of the three ways in which it can be aligned.
  /UFJJVkFURSBLRV|BSSVZBVEUgS0VZ|QUklWQVRFIEtFW/,
  // A JSON web token, such as a service account's.
  /\beyJ[\w-]{10,}\.eyJ[\w-]{10,}\.[\w-]{10,}/,
  /client-key-data\s*["']?\s*:/,
  /\bAKIA[0-9A-Z]{16}\b/,
];

/** Whether a text looks like a secret. @param path of it within what was given; its last name tells, too. */
export function isSecret(path: string, text: string): boolean {
  const name = path.split('.').at(-1) ?? '';
  return (text !== '' && secretNames.test(name)) || secretTexts.some((looks) => looks.test(text));
}
