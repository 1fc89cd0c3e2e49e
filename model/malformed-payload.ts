/** Mark of a malformed payload. JSON cannot contain a symbol, so no sender can imitate it. */
const mark: unique symbol = Symbol.for('cni-live-migration.malformed-payload');

/** Replacement for a payload that cannot be read. */
export interface MalformedPayload {
  readonly [mark]: true;
  /** Problem in words that follow "the message": `is not valid JSON`. It quotes no content. */
  readonly problem: string;
  /** True when a worker with other keys may be able to read the payload. */
  readonly dependsOnKeys: boolean;
}

/** Creates the replacement for a payload that cannot be read. */
export function malformedPayload(problem: string, { dependsOnKeys = false } = {}): MalformedPayload {
  return { [mark]: true, problem, dependsOnKeys };
}

/** True for the replacement of a payload that cannot be read. */
export function isMalformed(value: unknown): value is MalformedPayload {
  return typeof value === 'object' && value !== null && mark in value;
}
