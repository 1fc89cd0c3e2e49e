import { stat } from 'node:fs/promises';
import type { AgentOptions } from 'node:https';
import { Agent, type buildConnector } from 'undici';
import {
  AppsV1Api,
  AuthorizationV1Api,
  CoordinationV1Api,
  CoreV1Api,
  KubeConfig,
  KubernetesObjectApi,
  PolicyV1Api,
  ServerConfiguration,
  VersionApi,
  createConfiguration,
  wrapHttpLibrary,
} from '@kubernetes/client-node';
import { asyncLocalStorage } from '@temporalio/activity';
import { failure } from '../support/failures.ts';
import { RequestRate, countRequest, defaultRequestsPerSecond, requestsAtOnce } from './request-rate.ts';

/** The APIs of one cluster, over one pool of connections. */
export interface ClusterConnection {
  core: CoreV1Api;
  apps: AppsV1Api;
  policy: PolicyV1Api;
  coordination: CoordinationV1Api;
  authorization: AuthorizationV1Api;
  objects: KubernetesObjectApi;
  version: VersionApi;
}

/** How long one request may take, in ms: well within the time of any activity, so that it is told as what it is. */
const requestTimeoutMs = 20_000;

/** Where the credentials of a cluster are: a context of a kubeconfig file. */
export interface KubeconfigContext {
  file: string;
  /** @default the file's current context */
  context?: string;
  /** The pod that the worker runs in has its own identity, renewed in place; `file` is for other programs. */
  inCluster?: boolean;
}

/** Gives connections by cluster name. */
export interface Clusters {
  /** @throws ApplicationFailure UnknownCluster, when the worker knows no such cluster or cannot read its credentials. */
  connect: (cluster: string) => Promise<ClusterConnection>;
  /** The file and context for programs that read a kubeconfig themselves, such as Helm. @throws UnknownCluster */
  kubeconfigOf: (cluster: string) => Promise<KubeconfigContext>;
  /** Names of the clusters that the worker knows. */
  names: () => Promise<string[]>;
}

/** How API servers are treated. */
export interface ConnectionOptions {
  /** Requests a second that each API server gets from this worker at most. @default 100 */
  requestsPerSecond?: number;
}

/** Clusters by the contexts of one kubeconfig file. */
export function kubeconfigClusters(kubeconfigFile: string, options: ConnectionOptions = {}): Clusters {
  return clustersFrom(options, {
    names: async () => contextsOf(await load(kubeconfigFile)),
    locate: (cluster) => ({ file: kubeconfigFile, context: cluster }),
    unknownContext: (cluster, known) =>
      `the worker's kubeconfig has no context "${cluster}"; it has ${known.join(', ') || 'none'}`,
  });
}

/** Clusters by names of the worker's own, each with its credentials. */
export function namedClusters(
  entries: ReadonlyMap<string, KubeconfigContext>,
  options: ConnectionOptions = {}
): Clusters {
  return clustersFrom(options, {
    names: () => Promise.resolve([...entries.keys()]),
    locate: (cluster) => {
      const entry = entries.get(cluster);
      if (entry !== undefined) return entry;
      const known = [...entries.keys()].join(', ') || 'none';
      throw failure('UnknownCluster', `the worker knows no cluster "${cluster}"; it knows ${known}`);
    },
    unknownContext: (cluster) =>
      `the kubeconfig of the cluster "${cluster}" has no context "${entries.get(cluster)?.context}"`,
  });
}

/** Where clusters are found. */
interface ClusterSource {
  names: () => Promise<string[]>;
  /** Asked for every activity, so that it reads no file. @throws UnknownCluster */
  locate: (cluster: string) => KubeconfigContext;
  /** What to say of a cluster whose file has not the context, but those that are known. */
  unknownContext: (cluster: string, known: readonly string[]) => string;
}

/**
 * A file is read again when it changes, so that renewed credentials are used without a restart.
 *
 * The client library by itself opens a new connection for every request of a TLS cluster, and waits without limit. Here
 * all requests of a cluster share one pool, at a limited rate, and each ends with its activity's cancellation or after 20 s.
 */
function clustersFrom(
  { requestsPerSecond = defaultRequestsPerSecond }: ConnectionOptions,
  { names, locate, unknownContext }: ClusterSource
): Clusters {
  // By cluster, whatever becomes of its connection.
  const rates = new Map<string, RequestRate>();
  const rateOf = (cluster: string): RequestRate => {
    const rate = rates.get(cluster) ?? new RequestRate(requestsPerSecond);
    rates.set(cluster, rate);
    return rate;
  };
  const known = new Map<string, { changed: number; connection: ClusterConnection; agent: Agent | undefined }>();
  const connect = async (cluster: string): Promise<ClusterConnection> => {
    const credentials = locate(cluster);
    const changed = await changedAt(credentials.file);
    const existing = known.get(cluster);
    if (existing?.changed === changed) return existing.connection;
    const opened = await open(credentials, cluster, rateOf(cluster), unknownContext);
    known.set(cluster, { changed, ...opened });
    // Requests under way on the old pool end by themselves.
    void existing?.agent?.close();
    return opened.connection;
  };
  return {
    names,
    connect,
    async kubeconfigOf(cluster) {
      // Whether the file is there, and has the context, is told here rather than by whoever is given it.
      await connect(cluster);
      return locate(cluster);
    },
  };
}

async function changedAt(file: string): Promise<number> {
  try {
    return (await stat(file)).mtimeMs;
  } catch (error) {
    const { code = 'unknown' } = error as NodeJS.ErrnoException;
    throw failure('UnknownCluster', `the worker cannot read its kubeconfig: ${code}`);
  }
}

async function load(file: string): Promise<KubeConfig> {
  await changedAt(file);
  const config = new KubeConfig();
  try {
    config.loadFromFile(file);
  } catch {
    // The parser's message may quote the file, which holds keys.
    throw failure('UnknownCluster', "the worker's kubeconfig is no valid kubeconfig");
  }
  return config;
}

function contextsOf(config: KubeConfig): string[] {
  return config.getContexts().map((context) => context.name);
}

async function open(
  { file, context, inCluster = false }: KubeconfigContext,
  cluster: string,
  rate: RequestRate,
  unknownContext: ClusterSource['unknownContext']
): Promise<{ connection: ClusterConnection; agent: Agent | undefined }> {
  const config = inCluster ? new KubeConfig() : await load(file);
  // The library reads the pod's token again as it is renewed, which it does not for a file that names it.
  if (inCluster) config.loadFromCluster();
  else if (context !== undefined) useContext(config, context, (known) => unknownContext(cluster, known));
  const server = config.getCurrentCluster();
  if (server === null) {
    throw failure('UnknownCluster', `the kubeconfig of the cluster "${cluster}" names no server for its context`);
  }
  const tls: AgentOptions = {};
  await config.applyToHTTPSOptions(tls);
  const dispatcher = config.createDispatcherOptions(server, tls);
  // A cluster behind a proxy keeps the library's own way.
  const agent =
    dispatcher.type === 'agent'
      ? new Agent({
          connect: dispatcher.connect as buildConnector.BuildOptions,
          keepAliveTimeout: 30_000,
          connections: requestsAtOnce,
        })
      : undefined;
  const configuration = createConfiguration({
    baseServer: new ServerConfiguration(server.server, {}),
    authMethods: { default: config },
    httpApi: limitedLibrary(cluster, rate, agent),
  });
  return {
    agent,
    connection: {
      core: new CoreV1Api(configuration),
      apps: new AppsV1Api(configuration),
      policy: new PolicyV1Api(configuration),
      coordination: new CoordinationV1Api(configuration),
      authorization: new AuthorizationV1Api(configuration),
      objects: new KubernetesObjectApi(configuration),
      version: new VersionApi(configuration),
    },
  };
}

function useContext(config: KubeConfig, context: string, problem: (known: readonly string[]) => string): void {
  const known = contextsOf(config);
  if (!known.includes(context)) throw failure('UnknownCluster', problem(known));
  config.setCurrentContext(context);
}

/** The library's HTTP client, which sends an activity's requests in the order and at the rate that the cluster allows. */
function limitedLibrary(cluster: string, rate: RequestRate, agent: Agent | undefined) {
  const { httpApi: library } = createConfiguration();
  return wrapHttpLibrary({
    send: (request) => {
      const method = request.getHttpMethod();
      const activity = asyncLocalStorage.getStore();
      if (agent !== undefined) request.setDispatcher(agent);
      const send = () => {
        // Its time begins now, not when it began to wait.
        request.setSignal(requestSignal());
        return library.send(request).toPromise();
      };
      // What a worker asks about its rights as it starts is asked once, and must not be in the way of its first work.
      if (activity === undefined) return send();
      return rate.turn(method, activity.cancellationSignal, () => {
        countRequest(cluster, method);
        return send();
      });
    },
  });
}

function requestSignal(): AbortSignal {
  const timeout = AbortSignal.timeout(requestTimeoutMs);
  // Outside an activity, as in a boot check, there is nothing to be cancelled by.
  const activity = asyncLocalStorage.getStore();
  return activity === undefined ? timeout : AbortSignal.any([timeout, activity.cancellationSignal]);
}
