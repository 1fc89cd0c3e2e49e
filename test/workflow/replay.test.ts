import { readFile, readdir } from 'node:fs/promises';
import path from 'node:path';
import { DeterminismViolationError } from '@temporalio/workflow';
import { DefaultLogger, Runtime, Worker, type WorkflowBundle } from '@temporalio/worker';
import { payloadConverterPath } from '../../temporal/data-converter.ts';
import { plainBundle } from '../support/workflow-server.ts';

const folder = path.join(import.meta.dirname, '..', 'histories');

interface Recorded {
  workflowId: string;
  history: object;
}

let bundle: WorkflowBundle;
beforeAll(async () => {
  // The runtime logs warnings about the failures that this test has to find.
  Runtime.install({ logger: new DefaultLogger('ERROR'), telemetryOptions: { logging: { filter: 'ERROR' } } });
  bundle = await plainBundle();
});

async function read(file: string): Promise<Recorded> {
  return JSON.parse(await readFile(path.join(folder, file), 'utf8')) as Recorded;
}

async function replay({ workflowId, history }: Recorded): Promise<void> {
  const options = { workflowBundle: bundle, dataConverter: { payloadConverterPath } };
  // The workflow's ID is part of its children's.
  await Worker.runReplayHistory(options, history, workflowId);
}

it('replays every recorded history', async () => {
  const files = (await readdir(folder)).filter((file) => file.endsWith('.json'));
  expect(files.length).toBeGreaterThanOrEqual(6);
  for (const file of files) {
    const outcome = await replay(await read(file)).catch((error: unknown) => error);
    expect({ file, outcome }).toEqual({ file, outcome: undefined });
  }
});

it('fails for a history that these workflows do not produce', async () => {
  const recorded = await read('undisturbed-node.json');
  const other = JSON.parse(JSON.stringify(recorded).replaceAll('"flipNode"', '"flopNode"')) as Recorded;
  await expect(replay(other)).rejects.toThrow(DeterminismViolationError);
});
