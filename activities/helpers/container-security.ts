import type { V1ResourceRequirements, V1SecurityContext } from '@kubernetes/client-node';

/** User and group of our processes that need no root. */
const unprivilegedUser = 65_532;

const restricted = {
  allowPrivilegeEscalation: false,
  readOnlyRootFilesystem: true,
  capabilities: { drop: ['ALL'] },
  seccompProfile: { type: 'RuntimeDefault' },
} satisfies V1SecurityContext;

/** Security context of a container that needs no privileges. */
export const unprivileged = {
  ...restricted,
  runAsNonRoot: true,
  runAsUser: unprivilegedUser,
  runAsGroup: unprivilegedUser,
} satisfies V1SecurityContext;

/**
 * Builds the security context of a container that has to run as root: to use a capability, which the process of another
 * user does not get, or to read files of root.
 * @param capabilities the only capabilities that it gets.
 */
export function rootWith(...capabilities: readonly string[]): V1SecurityContext {
  const added = capabilities.length > 0 && { add: [...capabilities] };
  return { ...restricted, runAsUser: 0, capabilities: { ...restricted.capabilities, ...added } };
}

/**
 * Builds the resources of a helper: a limit of its memory, and no requests. A request would keep it off nodes whose
 * resources are all requested, and such nodes are migrated, too. They are written as 0, because the API server replaces a
 * missing request by the limit. There is no limit of the CPU: a prober that is throttled measures its own pauses, and
 * the CPU shares of a container without a request are the smallest anyway.
 * @param memory maximum memory, such as `64Mi`.
 */
export function limitedMemory(memory: string): V1ResourceRequirements {
  return { requests: { cpu: '0', memory: '0' }, limits: { memory } };
}
