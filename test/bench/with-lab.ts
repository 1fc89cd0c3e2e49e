import { randomBytes } from 'node:crypto';
import { labDown } from '../../lab/cluster/lab.ts';
import { interrupt } from '../../lab/process.ts';

/** Registers a function that runs before the lab is removed. */
export type OnEnd = (end: () => Promise<void>) => void;

/** Runs a bench with the name of its own lab, and removes that lab after any end of the bench, including Ctrl-C. */
export async function withLab<T>(work: (name: string, onEnd: OnEnd) => Promise<T>): Promise<T> {
  const name = `bench-${randomBytes(3).toString('hex')}`;
  let removal: Promise<void> | undefined;
  const endHooks: (() => Promise<void>)[] = [];
  const removeAll = async (): Promise<void> => {
    try {
      for (const hook of endHooks) await hook();
    } finally {
      await labDown(name);
    }
  };
  const remove = (): Promise<void> => (removal ??= removeAll());
  const end = (): void => {
    // Pending work would continue on a removed lab. A second request during the removal has to wait.
    if (removal === undefined) interrupt();
    void remove().finally(() => process.exit(130));
  };
  const signals = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;
  for (const signal of signals) process.on(signal, end);
  try {
    return await work(name, (hook) => endHooks.push(hook));
  } finally {
    await remove();
    for (const signal of signals) process.off(signal, end);
  }
}
