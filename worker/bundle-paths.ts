import path from 'node:path';

const workflows = path.resolve(import.meta.dirname, '..', 'workflows');

/** The module that holds every workflow: what a worker bundles. */
export const workflowsPath = path.join(workflows, 'index.ts');

/** The module with the payload converter, which the worker and its bundle both load. */
export const payloadConverterPath = path.join(workflows, 'payload-converter.ts');
