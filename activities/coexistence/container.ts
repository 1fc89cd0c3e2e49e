/** How a container of the coexistence image tells that it does its work. */
export const readiness = { exec: { command: ['/coexistence', 'ready'] }, periodSeconds: 1 };

/** Where it writes that down. */
export const scratchSpace = {
  mounts: [{ name: 'scratch', mountPath: '/tmp' }],
  volumes: [{ name: 'scratch', emptyDir: { medium: 'Memory', sizeLimit: '1Mi' } }],
};
