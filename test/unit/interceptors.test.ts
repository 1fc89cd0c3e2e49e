import { defaultPayloadConverter, type Payload } from '@temporalio/common';
import { coresdk } from '@temporalio/proto';
import { extractContextFromHeaders } from '@temporalio/interceptors-opentelemetry/lib/instrumentation.js';
import { isPodName, isUsableSignal } from '../../model/internal-signals.ts';
import { interceptors } from '../../workflows/interceptors.ts';

const trace = defaultPayloadConverter.toPayload({
  traceparent: '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01',
});
const header = (encoding: string, data: string): Payload => ({
  metadata: { encoding: Buffer.from(encoding) },
  data: Buffer.from(data),
});

/** Passes a signal, an update, a query and a start with a header through the interceptors, and returns the jobs. */
function activate(tracerData: Payload) {
  const headers = { '_tracer-data': tracerData };
  const jobs = ['signalWorkflow', 'doUpdate', 'queryWorkflow', 'initializeWorkflow'].map((kind) => ({
    [kind]: { headers },
  }));
  const activation = coresdk.workflow_activation.WorkflowActivation.fromObject({ jobs });
  const [internals] = interceptors().internals ?? [];
  let received: coresdk.workflow_activation.IWorkflowActivationJob[] = [];
  internals?.activate?.({ activation, batchIndex: 0 }, ({ activation: { jobs: passed } }) => {
    received = passed ?? [];
  });
  return received.map(({ signalWorkflow, doUpdate, queryWorkflow, initializeWorkflow }) => {
    const job = signalWorkflow ?? doUpdate ?? queryWorkflow ?? initializeWorkflow;
    return job?.headers ?? {};
  });
}

it.each([
  ['invalid JSON', header('json/plain', '{')],
  ['an unknown encoding', header('x/y', '{}')],
  ['encryption', header('binary/encrypted', 'x')],
  ['no metadata', {}],
])('removes a header with %s, for which traces would fail the workflow task', (_title, payload) => {
  const received = activate(payload);

  expect(received).toEqual([{}, {}, {}, {}]);
  expect(received.map(extractContextFromHeaders)).toEqual(Array(4).fill(undefined));
});

it('keeps the header of a trace', () => {
  expect(activate(trace).map((headers) => Object.keys(headers))).toEqual(Array(4).fill(['_tracer-data']));
});

it.each(['constructor', '__proto__', 'toString', 'nodeprogress'])('knows no signal between workflows "%s"', (name) => {
  expect(isUsableSignal(name, {})).toBe(true);
});

it('refuses a signal between workflows that is larger than any that a workflow sends', () => {
  const progress = (blockers: number) => ({
    ...{ node: 'a', parentRunId: 'r' },
    blockers: Array(blockers).fill({ pod: 'shop/web-1', reason: 'x', kind: 'Budget' }),
  });

  expect(isUsableSignal('nodeProgress', progress(20))).toBe(true);
  expect(isUsableSignal('nodeProgress', progress(10_000))).toBe(false);
  expect(['shop/web-1', 'shop', 'x'.repeat(2_000_000), 7, undefined].map(isPodName)).toEqual([
    ...[true, false, false, false, false],
  ]);
});
