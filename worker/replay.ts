import { z } from 'zod';
import { DefaultLogger, Worker, bundleWorkflowCode, type ReplayWorkerOptions } from '@temporalio/worker';
import { dataConverter } from '../temporal/data-converter.ts';
import type { EncryptionKeys } from '../temporal/keys.ts';
import { bundleOptions } from './bundle.ts';
import { workflowCode } from './run.ts';

/** The part of a history that is read here. All else goes to the SDK as it is. */
const historySchema = z.looseObject({
  events: z
    .tuple(
      [
        z.looseObject({
          workflowExecutionStartedEventAttributes: z.looseObject({ workflowId: z.string() }),
        }),
      ],
      z.unknown()
    )
    .refine((events) => events.length > 0),
});

/**
 * Returns options with which histories are replayed against this build.
 * @param keys the keys that decrypt the histories; undefined for plain ones.
 * @param bundles folder of prebuilt bundles. @default none: the workflows are bundled now
 */
export async function replayOptions(keys?: EncryptionKeys, bundles?: string): Promise<ReplayWorkerOptions> {
  // Failures are plain, as they are only printed here. Encrypted ones in a history are still decrypted.
  const features = { encrypted: false, traced: false };
  // Bundled once, for all histories.
  const code =
    bundles === undefined
      ? { workflowBundle: await bundleWorkflowCode({ ...bundleOptions(features), logger: new DefaultLogger('WARN') }) }
      : await workflowCode({ bundles }, features);
  // A history may be of another namespace than the one in which it is replayed.
  const { failureConverterPath, ...converter } = dataConverter(keys, { checksBinding: false });
  return { ...code, dataConverter: converter };
}

/**
 * Replays a history against the workflows of this build.
 * @param json output of `temporal workflow show -o json`.
 * @throws Error when it is not a history from its first event.
 * @throws DeterminismViolationError when this build would have done something else.
 */
export async function replayHistory(json: string, options: ReplayWorkerOptions): Promise<void> {
  let history: unknown;
  try {
    history = JSON.parse(json);
  } catch (error) {
    throw new Error('it is not valid JSON; use the output of: temporal workflow show --workflow-id ID -o json', {
      cause: error,
    });
  }
  const result = historySchema.safeParse(history);
  if (!result.success) {
    throw new Error('it is not a history that starts with its first event; use the output of: temporal workflow show');
  }
  // The workflow's ID is part of its children's.
  const { workflowId } = result.data.events[0].workflowExecutionStartedEventAttributes;
  await Worker.runReplayHistory(options, history, workflowId);
}
