/**
 * Returns a valid and stable name for a policy that is derived from another.
 * @param index number of the derived policy among those of the same original.
 */
export function policyName(prefix: string, name: string, index = 0): string {
  const suffix = index === 0 ? '' : `-${index}`;
  return `${prefix}-${name}`.slice(0, 253 - suffix.length) + suffix;
}
