import path from 'node:path';

/** The module that holds every workflow: what a worker bundles. */
export const workflowsPath = path.resolve(import.meta.dirname, '..', 'workflows', 'index.ts');
