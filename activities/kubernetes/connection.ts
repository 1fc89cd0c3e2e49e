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
import type { KubeconfigAllowance } from '../../model/allowances.ts';
import type { ApprovalMode } from '../../model/migration-approval.ts';
import { failure } from '../support/failures.ts';
import {
  createAuthentication,
  loadKubeconfig,
  loadTlsOptions,
  readFileVersion,
  unreadable,
} from './kubeconfig-file.ts';
import type { KubeconfigContext } from './kubeconfig-context.ts';
import { requireSafeKubeconfig } from './safe-kubeconfig.ts';
import { RequestRate, countRequest, defaultRequestsPerSecond, maxPendingRequests } from './request-rate.ts';

/** The APIs of one cluster, over one pool of connections. */
export interface ClusterConnection {
  core: CoreV1Api;
  apps: AppsV1Api;
  policy: PolicyV1Api;
  coordination: CoordinationV1Api;
  authorization: AuthorizationV1Api;
  objects: KubernetesObjectApi;
  version: VersionApi;
  /**
   * Images that the worker may start: see {@link requireAllowedImages}.
   * @default every image
   */
  images?: readonly string[] | undefined;
  /**
   * What proves an approval in this cluster: see {@link requireApproval}.
   * @default signal
   */
  approvals?: ApprovalMode | undefined;
  /**
   * Namespaces in which Canal is recognised, in addition to kube-system: see {@link KubeconfigContext}.
   * @default none
   */
  canalNamespaces?: readonly string[] | undefined;
}

/**
 * Timeout of one request, in ms. It is well below the timeout of any activity, so that a slow request is reported as
 * such.
 */
const requestTimeoutMs = 20_000;

/** Opens connections by cluster name. */
export interface Clusters {
  /**
   * @throws UnknownCluster when the worker does not know the cluster.
   * @throws CredentialsUnreadable when its credentials cannot be read at the moment; retryable.
   * @throws CredentialsRefused when they are unsafe, and not allowed; retryable.
   */
  connect: (cluster: string) => Promise<ClusterConnection>;
  /**
   * Returns file and context for programs that read a kubeconfig themselves, such as Helm.
   * @throws UnknownCluster, CredentialsUnreadable, CredentialsRefused
   */
  kubeconfigOf: (cluster: string) => Promise<KubeconfigContext>;
  /** Returns what proves an approval in a cluster; `signal` for a cluster that the worker does not know. */
  approvalMode: (cluster: string) => ApprovalMode;
  /** Returns the names of the clusters that the worker knows. */
  names: () => Promise<string[]>;
}

/** Options of the connections to API servers. */
export interface ConnectionOptions {
  /**
   * Maximum number of requests per second from this worker to each API server.
   * @default 100
   */
  requestsPerSecond?: number;
  /**
   * What every kubeconfig may do although it is unsafe.
   * @default nothing
   */
  allow?: readonly KubeconfigAllowance[];
  /**
   * Images that the worker may start in the clusters: registries, repositories, tags and digests.
   * @default every image
   */
  images?: readonly string[] | undefined;
}

/** Creates clusters from the contexts of one kubeconfig file. */
export function kubeconfigClusters(kubeconfigFile: string, options: ConnectionOptions = {}): Clusters {
  return createClusters(options, {
    names: async () => listContexts(await loadKubeconfig(kubeconfigFile)),
    locate: (cluster) => ({ file: kubeconfigFile, context: cluster }),
    unknownContext: (cluster, contextNames) =>
      `the worker's kubeconfig has no context "${cluster}"; it has ${contextNames.join(', ') || 'none'}`,
  });
}

/** Creates clusters from names of the worker's configuration, each with its credentials. */
export function namedClusters(
  entries: ReadonlyMap<string, KubeconfigContext>,
  options: ConnectionOptions = {}
): Clusters {
  return createClusters(options, {
    names: () => Promise.resolve([...entries.keys()]),
    locate: (cluster) => {
      const entry = entries.get(cluster);
      if (entry !== undefined) return entry;
      const knownNames = [...entries.keys()].join(', ') || 'none';
      throw failure('UnknownCluster', `the worker's configuration has no cluster "${cluster}"; it has ${knownNames}`);
    },
    unknownContext: (cluster) =>
      `the kubeconfig of the cluster "${cluster}" has no context "${entries.get(cluster)?.context}"`,
  });
}

/** Source of the clusters' names and credentials. */
interface ClusterSource {
  names: () => Promise<string[]>;
  /**
   * Locates the credentials. It is called for every activity, so it does not read files.
   * @throws UnknownCluster
   */
  locate: (cluster: string) => KubeconfigContext;
  /** Returns the message for a cluster whose file does not have the context; `contextNames` are those that it has. */
  unknownContext: (cluster: string, contextNames: readonly string[]) => string;
}

/**
 * Creates clusters from a source. A file is read again when it changes, so that renewed credentials are used without a
 * restart.
 *
 * On its own, the client library opens a new connection for every request to a TLS cluster, and has no timeout. Here
 * all requests to a cluster share one pool, at a limited rate, and each ends when its activity is cancelled or after 20
 * s.
 */
function createClusters(
  { requestsPerSecond = defaultRequestsPerSecond, allow = [], images }: ConnectionOptions,
  { names, locate, unknownContext }: ClusterSource
): Clusters {
  // Keyed by cluster, so that a limit outlives the cluster's connections.
  const rates = new Map<string, RequestRate>();
  const getRequestRate = (cluster: string): RequestRate => {
    const rate = rates.get(cluster) ?? new RequestRate(requestsPerSecond);
    rates.set(cluster, rate);
    return rate;
  };
  const cache = new Map<string, { changed: string; connection: ClusterConnection; agent: Agent | undefined }>();
  const connect = async (cluster: string): Promise<ClusterConnection> => {
    const credentials = locate(cluster);
    const changed = await readFileVersion(credentials.file);
    const existing = cache.get(cluster);
    if (existing?.changed === changed) return existing.connection;
    const permitted = { ...credentials, allow: [...allow, ...(credentials.allow ?? [])] };
    const opened = await openConnection(permitted, cluster, getRequestRate(cluster), (config) => {
      const message = unknownContext(cluster, listContexts(config));
      // The file is incomplete when it had the context before, or when its last section, the users, is missing.
      const incomplete = existing !== undefined || config.getUsers().length === 0;
      throw incomplete ? unreadable(credentials.file, message) : failure('UnknownCluster', message);
    });
    const { approvals, canalNamespaces } = credentials;
    const connection = { ...opened.connection, images, approvals, canalNamespaces };
    cache.set(cluster, { changed, connection, agent: opened.agent });
    // Closes the old pool once its pending requests have ended.
    void existing?.agent?.close();
    return connection;
  };
  return {
    names,
    connect,
    approvalMode: (cluster) => {
      try {
        return locate(cluster).approvals ?? 'signal';
      } catch {
        // Every activity on the cluster reports it.
        return 'signal';
      }
    },
    async kubeconfigOf(cluster) {
      // Reports a missing file or context here, instead of in the program that would read it.
      await connect(cluster);
      return locate(cluster);
    },
  };
}

function listContexts(config: KubeConfig): string[] {
  return config.getContexts().map((context) => context.name);
}

/** @param onUnknownContext throws the failure for a context that the file does not have. */
async function openConnection(
  { file, context, inCluster = false, allow = [] }: KubeconfigContext,
  cluster: string,
  rate: RequestRate,
  onUnknownContext: (config: KubeConfig) => never
): Promise<{ connection: ClusterConnection; agent: Agent | undefined }> {
  const config = inCluster ? new KubeConfig() : await loadKubeconfig(file);
  // The library reloads the pod's token when it is renewed. It does not do so for a file that refers to the token.
  if (inCluster) config.loadFromCluster();
  else if (context !== undefined) selectContext(config, context, onUnknownContext);
  const server = config.getCurrentCluster();
  if (server === null)
    throw unreadable(file, `the kubeconfig of the cluster "${cluster}" has no server for its context`);
  // Before the credentials are loaded, which runs the program that they name.
  if (!inCluster) requireSafeKubeconfig(config, cluster, allow);
  const tls = await loadTlsOptions(config, file, cluster);
  const dispatcher = config.createDispatcherOptions(server, tls);
  // A cluster behind a proxy keeps the library's own agent.
  const agent =
    dispatcher.type === 'agent'
      ? new Agent({
          connect: dispatcher.connect as buildConnector.BuildOptions,
          keepAliveTimeout: 30_000,
          connections: maxPendingRequests,
        })
      : undefined;
  const configuration = createConfiguration({
    baseServer: new ServerConfiguration(server.server, {}),
    authMethods: { default: createAuthentication(config, file, cluster) },
    httpApi: createLimitedLibrary(cluster, rate, agent),
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

function selectContext(config: KubeConfig, context: string, onUnknownContext: (config: KubeConfig) => never): void {
  if (!listContexts(config).includes(context)) onUnknownContext(config);
  config.setCurrentContext(context);
}

/**
 * Returns the library's HTTP client, limited to the order and rate that the cluster allows for an activity's requests.
 */
function createLimitedLibrary(cluster: string, rate: RequestRate, agent: Agent | undefined) {
  const { httpApi: library } = createConfiguration();
  return wrapHttpLibrary({
    send: (request) => {
      const method = request.getHttpMethod();
      const activity = asyncLocalStorage.getStore();
      if (agent !== undefined) request.setDispatcher(agent);
      const send = () => {
        // The timeout starts with the request, not while it is queued.
        request.setSignal(requestSignal());
        return library.send(request).toPromise();
      };
      // Permission checks at startup run once, and must not delay the worker's first activities.
      if (activity === undefined) return send();
      return rate.schedule(method, activity.cancellationSignal, () => {
        countRequest(cluster, method);
        return send();
      });
    },
  });
}

function requestSignal(): AbortSignal {
  const timeout = AbortSignal.timeout(requestTimeoutMs);
  // Outside an activity, as in a startup check, there is no cancellation.
  const activity = asyncLocalStorage.getStore();
  return activity === undefined ? timeout : AbortSignal.any([timeout, activity.cancellationSignal]);
}
