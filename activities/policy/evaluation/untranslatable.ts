/** Cilium has no words for something of a policy. */
export class Untranslatable extends Error {}
