/**
 * How a container of the coexistence image tells that it does its work: asked until it does, and not again, because each
 * time a program is started on the node.
 */
export const startup = { exec: { command: ['/coexistence', 'ready'] }, periodSeconds: 1, failureThreshold: 600 };

/** Where it writes that down. */
export const scratchSpace = {
  mounts: [{ name: 'scratch', mountPath: '/tmp' }],
  volumes: [{ name: 'scratch', emptyDir: { medium: 'Memory', sizeLimit: '1Mi' } }],
};
