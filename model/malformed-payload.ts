/** What a payload that is no JSON is read as. */
export interface MalformedPayload {
  malformedPayload: true;
}

/** True for what a payload that is no JSON is read as. */
export function isMalformed(value: unknown): value is MalformedPayload {
  return typeof value === 'object' && value !== null && 'malformedPayload' in value;
}
