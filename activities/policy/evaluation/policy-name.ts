/** A valid name for a policy that is made of another, the same each time. @param index of those that are made of it. */
export function policyName(prefix: string, name: string, index = 0): string {
  const suffix = index === 0 ? '' : `-${index}`;
  return `${prefix}-${name}`.slice(0, 253 - suffix.length) + suffix;
}
