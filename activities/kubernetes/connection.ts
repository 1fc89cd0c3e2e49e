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
} from '@kubernetes/client-node';
import { asyncLocalStorage } from '@temporalio/activity';
import { failure } from '../failures.ts';

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

/** Gives connections by cluster name. */
export interface Clusters {
  /** @throws ApplicationFailure UnknownCluster, when the kubeconfig has no such context or cannot be read. */
  connect: (cluster: string) => Promise<ClusterConnection>;
  /** The file and context for programs that read a kubeconfig themselves, such as Helm. */
  kubeconfigFile: string;
}

/**
 * Clusters by the contexts of one kubeconfig file. The file is read again when it changes, so that renewed credentials
 * are used without a restart.
 *
 * The client library by itself opens a new connection for every request of a TLS cluster, and waits without limit. Here
 * all requests of a cluster share one pool, and each ends with its activity's cancellation or after 20 s.
 */
export function kubeconfigClusters(kubeconfigFile: string): Clusters {
  const known = new Map<string, { changed: number; connection: ClusterConnection; agent: Agent | undefined }>();
  return {
    kubeconfigFile,
    async connect(cluster) {
      const changed = await stat(kubeconfigFile).then(
        (info) => info.mtimeMs,
        (error: unknown) => {
          throw failure(
            'UnknownCluster',
            `the worker cannot read its kubeconfig: ${(error as NodeJS.ErrnoException).code ?? 'unknown'}`
          );
        }
      );
      const existing = known.get(cluster);
      if (existing?.changed === changed) return existing.connection;
      const opened = await open(kubeconfigFile, cluster);
      known.set(cluster, { changed, ...opened });
      // Requests under way on the old pool end by themselves.
      void existing?.agent?.close();
      return opened.connection;
    },
  };
}

async function open(
  file: string,
  cluster: string
): Promise<{ connection: ClusterConnection; agent: Agent | undefined }> {
  const config = new KubeConfig();
  try {
    config.loadFromFile(file);
  } catch {
    // The parser's message may quote the file, which holds keys.
    throw failure('UnknownCluster', "the worker's kubeconfig is no valid kubeconfig");
  }
  const names = config.getContexts().map((context) => context.name);
  if (!names.includes(cluster)) {
    throw failure(
      'UnknownCluster',
      `the worker's kubeconfig has no context "${cluster}"; it has ${names.join(', ') || 'none'}`
    );
  }
  config.setCurrentContext(cluster);
  const server = config.getCurrentCluster();
  if (server === null)
    throw failure('UnknownCluster', `context "${cluster}" names a cluster that the worker's kubeconfig lacks`);
  const tls: AgentOptions = {};
  await config.applyToHTTPSOptions(tls);
  const dispatcher = config.createDispatcherOptions(server, tls);
  // A cluster behind a proxy keeps the library's own way.
  const agent =
    dispatcher.type === 'agent'
      ? new Agent({
          connect: dispatcher.connect as buildConnector.BuildOptions,
          keepAliveTimeout: 30_000,
          connections: 16,
        })
      : undefined;
  const configuration = createConfiguration({
    baseServer: new ServerConfiguration(server.server, {}),
    authMethods: { default: config },
    promiseMiddleware: [
      {
        pre: (context) => {
          if (agent !== undefined) context.setDispatcher(agent);
          context.setSignal(requestSignal());
          return Promise.resolve(context);
        },
        post: (response) => Promise.resolve(response),
      },
    ],
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

function requestSignal(): AbortSignal {
  const timeout = AbortSignal.timeout(requestTimeoutMs);
  // Outside an activity, as in a boot check, there is nothing to be cancelled by.
  const activity = asyncLocalStorage.getStore();
  return activity === undefined ? timeout : AbortSignal.any([timeout, activity.cancellationSignal]);
}
