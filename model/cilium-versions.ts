/** Minor versions of Cilium to which migrations are tested. */
export const testedMinors: readonly string[] = ['1.20'];

/** Returns the minor version of a version: `1.20` of `1.20.2-rc.1`. */
export function minorVersion(version: string): string {
  return version.replace(/^v/, '').split('.').slice(0, 2).join('.');
}
