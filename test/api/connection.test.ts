import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { createServer as createTlsServer } from 'node:tls';
import { MockActivityEnvironment } from '@temporalio/testing';
import { parse } from 'yaml';
import { createInspectionActivities } from '../../activities/cluster/inspect.ts';
import { kubeconfigClusters } from '../../activities/kubernetes/connection.ts';
import { createOnCluster } from '../../activities/kubernetes/on-cluster.ts';
import { createCertificate, writeKubeconfig } from '../../lab/cluster/pki.ts';
import { waitFor } from '../../lab/process.ts';
import { createLabActivities } from '../support/activity.ts';
import { useSharedControlPlane } from '../support/shared-control-plane.ts';
import { timeLimits } from '../support/time-limits.ts';

const lab = useSharedControlPlane();
let scratch: string;
const open: Server[] = [];

beforeAll(async () => {
  scratch = await mkdtemp(path.join(tmpdir(), 'cni-test-'));
});
afterAll(async () => {
  for (const server of open) server.close();
  await rm(scratch, { recursive: true });
});

/** Listens on a free port of this machine. */
function listen(onConnection: (socket: Socket) => void): Promise<number> {
  return listenOn(createServer(onConnection));
}

async function listenOn(server: Server): Promise<number> {
  open.push(server);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return (server.address() as AddressInfo).port;
}

/** Returns a kubeconfig of the lab's administrator for another address. */
async function kubeconfigTo(server: string, name: string): Promise<string> {
  const file = path.join(scratch, name);
  await writeKubeconfig(file, lab().layout.pki, 'admin', server, lab().layout.context);
  return file;
}

it('shares a small pool of connections among all requests', async () => {
  let connections = 0;
  const port = await listen((socket) => {
    connections++;
    const upstream = connect(6443, lab().layout.controlPlaneAddress);
    socket.on('error', () => upstream.destroy());
    upstream.on('error', () => socket.destroy());
    socket.pipe(upstream).pipe(socket);
  });
  const clusters = kubeconfigClusters(await kubeconfigTo(`https://127.0.0.1:${port}`, 'pool'));
  for (let round = 0; round < 20; round++) {
    const { core } = await clusters.connect(lab().layout.context);
    await core.listNamespace({});
  }
  expect(connections).toBe(1);
  const { core, objects } = await clusters.connect(lab().layout.context);
  await Promise.all(Array.from({ length: 100 }, () => core.listNamespace({})));
  await objects.list('v1', 'Namespace');
  expect(connections).toBeLessThanOrEqual(16);
});

it('limits the rate of activities, without the requests of a starting worker', async () => {
  const clusters = kubeconfigClusters(lab().layout.kubeconfig, { requestsPerSecond: 2 });
  const { core } = await clusters.connect(lab().layout.context);
  // The clock of the request rate is stopped; sockets do not need it.
  jest.useFakeTimers({ doNotFake: ['nextTick', 'setImmediate', 'queueMicrotask', 'performance'] });
  try {
    await Promise.all(Array.from({ length: 50 }, () => core.listNamespace({})));
    let answered = 0;
    const three = (): Promise<unknown> =>
      Promise.all(Array.from({ length: 3 }, () => core.listNamespace({}).then(() => answered++)));
    const asking = new MockActivityEnvironment().run(three);
    while (answered < 2) await core.listNamespace({});
    // The third request would be answered before the later of these.
    for (let round = 0; round < 3; round++) await core.listNamespace({});
    expect(answered).toBe(2);
    await jest.advanceTimersByTimeAsync(1_000);
    await asking;
    expect(answered).toBe(3);
  } finally {
    jest.useRealTimers();
  }
});

it('ends an unanswered request when its activity is cancelled', async () => {
  // Without its time limit, only the cancellation ends a request.
  const limit = jest.spyOn(AbortSignal, 'timeout').mockReturnValue(new AbortController().signal);
  const { layout } = lab();
  const [key, cert] = await Promise.all(
    ['key', 'crt'].map((end) => readFile(path.join(layout.pki, `apiserver.${end}`)))
  );
  // An API server that accepts a request and never answers.
  let [asked, closed] = [0, 0];
  const silent = createTlsServer({ key, cert }, (socket) => {
    socket.once('data', () => asked++);
    socket.once('close', () => closed++);
    socket.on('error', () => socket.destroy());
  });
  const port = await listenOn(silent);
  const clusters = kubeconfigClusters(await kubeconfigTo(`https://127.0.0.1:${port}`, 'silent'));
  const environment = new MockActivityEnvironment();
  const { inspectCluster } = createInspectionActivities(createOnCluster(clusters));
  const outcome = environment.run(inspectCluster, { cluster: layout.context }).catch((error: unknown) => error);
  const waiting = { timeoutMs: timeLimits.localChange, pollIntervalMs: 20 };
  await waitFor('the request', () => Promise.resolve(asked > 0), waiting);
  environment.cancel('CANCELLED');
  expect(await outcome).toMatchObject({ name: 'CancelledFailure' });
  await waitFor('the end of the request', () => Promise.resolve(closed > 0), waiting);
  limit.mockRestore();
});

it('uses credentials that were rotated in the file', async () => {
  const { layout } = lab();
  const file = path.join(scratch, 'renewed');
  await createCertificate(layout.pki, 'nobody', '/CN=nobody', []);
  await writeKubeconfig(file, layout.pki, 'nobody', layout.apiServer, layout.context);
  const activities = createLabActivities(lab(), file);
  await expect(activities.inspectCluster({ cluster: layout.context })).rejects.toMatchObject({
    type: 'KubernetesForbidden',
    nonRetryable: false,
    message: expect.stringContaining(
      'grant the permission "list daemonsets.apps" in namespace kube-system to nobody'
    ) as string,
  });
  await writeFile(file, await readFile(layout.kubeconfig));
  await expect(activities.inspectCluster({ cluster: layout.context })).rejects.toMatchObject({
    type: 'SourceNotFound',
  });
});

it('reports rejected credentials, and uses the file that replaces it', async () => {
  const { layout } = lab();
  const file = path.join(scratch, 'rejected');
  const { users, ...config } = parse(await readFile(layout.kubeconfig, 'utf8')) as { users: { name: string }[] };
  const rejected = users.map(({ name }) => ({ name, user: { token: 'not-a-token' } }));
  await writeFile(file, JSON.stringify({ ...config, users: rejected }));
  const activities = createLabActivities(lab(), file);
  await expect(activities.inspectCluster({ cluster: layout.context })).rejects.toMatchObject({
    type: 'CredentialsRejected',
    nonRetryable: false,
  });
  await writeFile(file, await readFile(layout.kubeconfig));
  await expect(activities.inspectCluster({ cluster: layout.context })).rejects.toMatchObject({
    type: 'SourceNotFound',
  });
});

it.each([
  ['a file that is not there', undefined, 'ENOENT'],
  ['a file that is no kubeconfig', 'secret: [', 'not a valid kubeconfig'],
])('names %s without quoting it', async (name, text, message) => {
  const file = path.join(scratch, name);
  if (text !== undefined) await writeFile(file, text);
  const failure: unknown = await createLabActivities(lab(), file)
    .inspectCluster({ cluster: 'x' })
    .catch((error: unknown) => error);
  expect(failure).toMatchObject({ type: 'CredentialsUnreadable', nonRetryable: false });
  expect((failure as Error).message).toContain(message);
  expect((failure as Error).message).not.toContain('secret');
});
