import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { kubeconfigClusters } from '../../activities/kubernetes/connection.ts';
import { helmFailureType } from '../../activities/helm/command.ts';

let dir: string;
let file: string;
beforeEach(async () => {
  dir = await mkdtemp(path.join(tmpdir(), 'cni-credentials-'));
  file = path.join(dir, 'kubeconfig');
});
afterEach(() => rm(dir, { recursive: true }));

/** A kubeconfig in the order in which kubectl writes it: the users are last. */
const complete = `apiVersion: v1
kind: Config
clusters:
  - name: c
    cluster: { server: "https://127.0.0.1:1" }
contexts:
  - name: first
    context: { cluster: c, user: u }
  - name: second
    context: { cluster: c, user: u }
users:
  - name: u
    user: { token: t }
`;

const unreadable = { type: 'CredentialsUnreadable', nonRetryable: false };
const unknown = { type: 'UnknownCluster', nonRetryable: true };

it('does not know a cluster that a complete file does not contain', async () => {
  await writeFile(file, complete);
  const connecting = kubeconfigClusters(file).connect('third');
  await expect(connecting).rejects.toMatchObject({
    ...unknown,
    message: expect.stringContaining('it has first, second') as string,
  });
});

it('retries while the file is being written, wherever the writer is, and then connects', async () => {
  for (let length = 0; length < complete.length; length += 7) {
    await writeFile(file, complete.slice(0, length));
    const outcome = await kubeconfigClusters(file)
      .connect('second')
      .then(
        () => 'connected',
        (error: unknown) => error
      );
    // From the users on, the file has all that a connection needs: the API server decides about the credentials.
    if (outcome !== 'connected') expect(outcome).toMatchObject(unreadable);
    else expect(length).toBeGreaterThan(complete.indexOf('name: second'));
  }
  await writeFile(file, complete);
  await expect(kubeconfigClusters(file).connect('second')).resolves.toBeDefined();
});

it('retries while a writer with another order has written the users only', async () => {
  const [, users = ''] = complete.split(/^(?=users:)/m);
  await writeFile(file, users);
  await expect(kubeconfigClusters(file).connect('second')).rejects.toMatchObject(unreadable);
});

it('names the file and a remedy', async () => {
  await expect(kubeconfigClusters(file).connect('first')).rejects.toMatchObject({
    ...unreadable,
    message: `the worker cannot read its kubeconfig: ENOENT; check that ${file} is a complete kubeconfig that the worker can read`,
  });
});

it.each([
  ['the file is missing for a moment', () => rm(file)],
  ['the context is missing for a moment', () => writeFile(file, complete.replaceAll('second', 'renamed'))],
  ['the file is empty for a moment', () => writeFile(file, '')],
  [
    'the file names a certificate that is missing for a moment',
    () => writeFile(file, complete.replace('token: t', 'client-certificate: crt, client-key: key')),
  ],
])('retries when %s', async (_, disturb) => {
  await writeFile(file, complete);
  const clusters = kubeconfigClusters(file);
  await clusters.connect('second');

  await disturb();
  await expect(clusters.connect('second')).rejects.toMatchObject(unreadable);

  await writeFile(file, complete);
  await expect(clusters.connect('second')).resolves.toBeDefined();
});

it.each([
  ['Error: query: failed to query with labels: Unauthorized', 'CredentialsRejected'],
  [
    'Error: Kubernetes cluster unreachable: the server has asked for the client to provide credentials',
    'CredentialsRejected',
  ],
  ['Error: Kubernetes cluster unreachable: Get "https://10.0.0.1/version": connection refused', 'ClusterUnreachable'],
  ['Error: failed to download "oci://quay.io/cilium/charts/cilium"', 'HelmFailed'],
])('types what Helm prints: %s', (output, type) => {
  expect(helmFailureType(output)).toBe(type);
});
