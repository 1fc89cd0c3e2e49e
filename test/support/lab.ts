import { randomBytes } from 'node:crypto';
import { labDown, labUp, type Lab, type UpOptions } from '../../lab/cluster/lab.ts';
import { waitFor } from '../../lab/process.ts';
import { timeLimits } from './time-limits.ts';

/** Returns a name that no other run on this machine uses. */
export function uniqueLabName(prefix: string): string {
  return `${prefix}-${randomBytes(3).toString('hex')}`;
}

/**
 * Creates a lab for one test file, and removes it after its last test.
 * @returns the lab, which exists once the tests run.
 */
export function useLab(options: Omit<UpOptions, 'name' | 'ephemeral'>): () => Lab {
  const name = uniqueLabName('test');
  let lab: Lab | undefined;
  beforeAll(async () => {
    lab = await labUp({ ...options, name, ephemeral: true });
    await waitForPublishedCertificates(lab);
  });
  afterAll(() => labDown(name));
  return () => {
    if (lab === undefined) throw new Error('the lab is not up yet');
    return lab;
  };
}

/**
 * Waits until Kubernetes' own controllers have published the API server's certificate in every namespace. They start
 * with the API server, and elect a leader first, so that a lab without nodes may be up before they write anything.
 */
async function waitForPublishedCertificates(lab: Lab): Promise<void> {
  const list = async (kind: string): Promise<string[]> =>
    (await lab.kubectl('get', kind, '-A', '-o', 'name')).trim().split('\n');
  const isPublished = async (): Promise<boolean> => {
    const configMaps = await list('configmaps');
    return (
      configMaps.filter((name) => name === 'configmap/kube-root-ca.crt').length === (await list('namespaces')).length
    );
  };
  await waitFor('the certificate of the API server in every namespace', isPublished, {
    timeoutMs: timeLimits.clusterChange,
    pollIntervalMs: 500,
  });
}
