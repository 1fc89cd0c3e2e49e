import { randomBytes } from 'node:crypto';
import { labDown } from '../lab/cluster/lab.ts';
import { interrupt } from '../lab/process.ts';

/** Gives a bench the name of a lab of its own, and removes that lab whatever the bench ends with, Ctrl-C too. */
export async function withLab<T>(work: (name: string) => Promise<T>): Promise<T> {
  const name = `bench-${randomBytes(3).toString('hex')}`;
  let removal: Promise<void> | undefined;
  const remove = (): Promise<void> => (removal ??= labDown(name));
  const end = (): void => {
    // What is under way would be done on a lab that is not there any more. Whoever asks again while it is removed has to wait.
    if (removal === undefined) interrupt();
    void remove().finally(() => process.exit(130));
  };
  const signals = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;
  for (const signal of signals) process.on(signal, end);
  try {
    return await work(name);
  } finally {
    await remove();
    for (const signal of signals) process.off(signal, end);
  }
}
