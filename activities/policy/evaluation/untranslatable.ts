/** Error for a part of a policy that has no equivalent in Cilium. */
export class Untranslatable extends Error {}
