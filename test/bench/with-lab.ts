import { randomBytes } from 'node:crypto';
import { labDown } from '../../lab/cluster/lab.ts';
import { interrupt } from '../../lab/process.ts';

/** Has something else end before the lab is removed. */
export type AtEnd = (end: () => Promise<void>) => void;

/** Gives a bench the name of a lab of its own, and removes that lab whatever the bench ends with, Ctrl-C too. */
export async function withLab<T>(work: (name: string, atEnd: AtEnd) => Promise<T>): Promise<T> {
  const name = `bench-${randomBytes(3).toString('hex')}`;
  let removal: Promise<void> | undefined;
  const others: (() => Promise<void>)[] = [];
  const removeAll = async (): Promise<void> => {
    try {
      for (const other of others) await other();
    } finally {
      await labDown(name);
    }
  };
  const remove = (): Promise<void> => (removal ??= removeAll());
  const end = (): void => {
    // What is under way would be done on a lab that is not there any more. Whoever asks again while it is removed has to wait.
    if (removal === undefined) interrupt();
    void remove().finally(() => process.exit(130));
  };
  const signals = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;
  for (const signal of signals) process.on(signal, end);
  try {
    return await work(name, (other) => others.push(other));
  } finally {
    await remove();
    for (const signal of signals) process.off(signal, end);
  }
}
