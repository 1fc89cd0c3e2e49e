/**
 * Startup probe of the coexistence image's containers. It runs until the container is ready and not after that, because
 * each probe starts a process on the node.
 */
export const startup = { exec: { command: ['/coexistence', 'ready'] }, periodSeconds: 1, failureThreshold: 600 };

/** Volume in which the container records that it is ready. */
export const scratchSpace = {
  mounts: [{ name: 'scratch', mountPath: '/tmp' }],
  volumes: [{ name: 'scratch', emptyDir: { medium: 'Memory', sizeLimit: '1Mi' } }],
};
