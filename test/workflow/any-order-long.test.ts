import { playScenarios } from '../support/any-order/play.ts';
import { timeLimits } from '../support/time-limits.ts';
import { WorkflowServer } from '../support/workflow-server.ts';

const server = new WorkflowServer({ skipsTime: true });
beforeAll(() => server.start());
afterAll(() => server.stop());

/** A suite of its own, because of its duration. */
it(
  'keeps its rules, and ends, for any messages and failures: 200 scenarios',
  () => playScenarios(server, 200),
  timeLimits.wholeMigration
);
