import { until } from '../../lab/process.ts';

/** How long something has to stay the same, in ms. */
const quietMs = 3_000;

/** Waits until what is read stays the same: Kubernetes' own controllers need a moment with what was just made. */
export async function settled(read: () => Promise<string>): Promise<string> {
  let text = '';
  const same = async (): Promise<boolean> => {
    text = await read();
    await new Promise((resolve) => setTimeout(resolve, quietMs));
    return (await read()) === text;
  };
  await until('the cluster to settle', same, { timeoutMs: 60_000 });
  return text;
}
