/** Replacement for a payload that is not valid JSON. */
export interface MalformedPayload {
  malformedPayload: true;
}

/** True for the replacement of a payload that is not valid JSON. */
export function isMalformed(value: unknown): value is MalformedPayload {
  return typeof value === 'object' && value !== null && 'malformedPayload' in value;
}
