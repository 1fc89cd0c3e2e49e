import { defineVersioningTests } from '../support/versioning-cases.ts';
import { WorkflowServer } from '../support/workflow-server.ts';

/** Worker Versioning on the dev server of the Temporal CLI. */
const server = new WorkflowServer();
beforeAll(() => server.start());
afterAll(() => server.stop());

defineVersioningTests(server);
