import { playScenarios } from '../support/any-order/play.ts';
import { timeLimits } from '../support/time-limits.ts';
import { WorkflowServer } from '../support/workflow-server.ts';

const server = new WorkflowServer({ skipsTime: true });
beforeAll(() => server.start());
afterAll(() => server.stop());

it(
  'keeps its rules, and ends, for any messages and failures: a few scenarios',
  () => playScenarios(server, 16),
  timeLimits.longTest
);
