import type { V1Pod } from '@kubernetes/client-node';
import type { Lab } from '../../lab/cluster/lab.ts';
import { runInside } from '../../lab/machine/machine.ts';

/**
 * Sends a request from one prober to another, inside the cluster.
 * @returns the answer: the name of the pod that answers, and the source address that it sees.
 */
export async function dial({ layout }: Lab, from: V1Pod, to: V1Pod): Promise<unknown> {
  const url = `http://${from.status?.podIP}:8080/dial?to=${to.status?.podIP}`;
  const key = from.spec?.containers[0]?.env?.find(({ name }) => name === 'PROBE_KEY')?.value ?? '';
  const retries = ['--max-time', '5', '--retry', '3', '--retry-all-errors'];
  const curl = ['curl', '--silent', '--fail-with-body', ...retries, '--header', `Probe-Key: ${key}`, url];
  return JSON.parse(await runInside(layout.machineDir(from.spec?.nodeName ?? ''), curl)) as unknown;
}
