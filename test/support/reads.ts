import type { Lab } from '../../lab/cluster/lab.ts';
import { CommandFailed, until } from '../../lab/process.ts';
import { timeLimits } from './time-limits.ts';

/** What kubectl prints when it was not answered: no state of the cluster follows from that. */
const unanswered =
  /TLS handshake timeout|connection lost|connection refused|connection reset|i\/o timeout|EOF|deadline/i;

/**
 * Reads with kubectl as an administrator. While the API server does not answer, as on a machine without an idle processor,
 * it is asked again; an answer is final, whatever it says.
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
  await until('the API server to answer', answered, { timeoutMs: timeLimits.serviceStart }).catch((error: unknown) => {
    throw failure ?? error;
  });
  return text ?? '';
}

/** Reads one object or list as JSON; see {@link readText}. */
export async function read<T>(lab: Lab, ...what: string[]): Promise<T> {
  return JSON.parse(await readText(lab, 'get', ...what, '-o', 'json')) as T;
}
