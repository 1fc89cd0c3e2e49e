import type { Lab } from '../../lab/cluster/lab.ts';
import { CommandFailed, waitFor } from '../../lab/process.ts';
import { timeLimits } from './time-limits.ts';

/** Messages of kubectl when it got no answer: they say nothing about the state of the cluster. */
const unanswered =
  /TLS handshake timeout|connection lost|connection refused|connection reset|i\/o timeout|EOF|deadline/i;

/**
 * Reads with kubectl as an administrator. Repeats the read while the API server does not answer, as on a machine
 * without an idle processor; any answer is final.
 * @throws CommandFailed when kubectl fails for another reason, or when the limit is over.
 */
export async function readText({ kubectl }: Lab, ...args: string[]): Promise<string> {
  let text: string | undefined;
  let failure: unknown;
  const answered = async (): Promise<boolean> => {
    try {
      text = await kubectl(...args);
      return true;
    } catch (error) {
      if (!(error instanceof CommandFailed) || !unanswered.test(error.stderr)) throw error;
      failure = error;
      return false;
    }
  };
  await waitFor('the API server to answer', answered, { timeoutMs: timeLimits.serviceStart }).catch(
    (error: unknown) => {
      throw failure ?? error;
    }
  );
  return text ?? '';
}

/** Reads one object or list as JSON; see {@link readText}. */
export async function read<T>(lab: Lab, ...what: string[]): Promise<T> {
  return JSON.parse(await readText(lab, 'get', ...what, '-o', 'json')) as T;
}
