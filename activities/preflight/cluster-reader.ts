import type {
  KubernetesObject,
  V1DaemonSet,
  V1Deployment,
  V1Node,
  V1PodDisruptionBudget,
  V1Service,
} from '@kubernetes/client-node';
import type { MigrationInput } from '../../model/input.ts';
import { findCanal, readCanalFacts, type CanalFacts, type CanalInstallation } from '../canal/detect.ts';
import { readCniPaths, type CniPaths } from '../canal/installer.ts';
import { ciliumIsOurs } from '../cilium/flip.ts';
import type { RenderedChart } from '../helm/render.ts';
import { listKnown } from '../kubernetes/apply.ts';
import type { ClusterConnection } from '../kubernetes/connection.ts';
import { listNodes } from '../kubernetes/nodes.ts';
import { allPages } from '../kubernetes/pagination.ts';
import { listPods, type PodFacts } from '../kubernetes/pods.ts';
import type { HostFacts } from './host-facts.ts';
import { readKubeProxies, type KubeProxies } from './kube-proxy.ts';

/** Reader through which checks access a cluster. Each value is read once and shared by all checks. */
export interface ClusterReader {
  connection: ClusterConnection;
  input: MigrationInput;
  canal: () => Promise<CanalInstallation | undefined>;
  /** Returns the facts about Canal; undefined where it is not installed. */
  canalFacts: () => Promise<CanalFacts | undefined>;
  /** Returns the paths to which Canal's installer writes on the nodes; undefined where they are unknown. */
  cniPaths: () => Promise<CniPaths | undefined>;
  /** Returns the configurations of kube-proxy, by source. */
  kubeProxies: () => Promise<KubeProxies>;
  nodes: () => Promise<V1Node[]>;
  pods: () => Promise<PodFacts[]>;
  services: () => Promise<V1Service[]>;
  daemonSets: () => Promise<V1DaemonSet[]>;
  deployments: () => Promise<V1Deployment[]>;
  budgets: () => Promise<V1PodDisruptionBudget[]>;
  /** Returns the objects of a kind; none where the cluster does not know it. */
  list: <T extends KubernetesObject>(apiVersion: string, kind: string) => Promise<T[]>;
  /** Returns true when an earlier run of this migration installed Cilium. */
  ciliumIsOurs: () => Promise<boolean>;
  /** Returns the facts of the nodes, by name; undefined when our pods may not run on them. */
  hosts: () => Promise<Map<string, HostFacts> | undefined>;
  /** Returns the chart as it is first applied. */
  chart: () => Promise<RenderedChart>;
}

/** Readers that {@link clusterReader} needs from its caller. */
export interface ReaderParts {
  hosts: ClusterReader['hosts'];
  chart: ClusterReader['chart'];
}

/** Creates the reader of one cluster, for one preflight. */
export function clusterReader(
  connection: ClusterConnection,
  input: MigrationInput,
  { hosts, chart }: ReaderParts
): ClusterReader {
  const { core, apps, policy } = connection;
  const lists = new Map<string, Promise<KubernetesObject[]>>();
  const canal = memoize(() => findCanal(connection));
  const inspected = memoize(hosts);
  return {
    connection,
    input,
    canal,
    canalFacts: memoize(async () => {
      const installation = await canal();
      return installation && readCanalFacts(connection, installation);
    }),
    cniPaths: async () => {
      const installation = await canal();
      return installation && readCniPaths(installation);
    },
    kubeProxies: memoize(async () => readKubeProxies(connection, await inspected())),
    nodes: memoize(() => listNodes(connection)),
    pods: memoize(() => listPods(connection)),
    services: memoize(() => allPages((page) => core.listServiceForAllNamespaces({ ...page }))),
    daemonSets: memoize(() => allPages((page) => apps.listDaemonSetForAllNamespaces({ ...page }))),
    deployments: memoize(() => allPages((page) => apps.listDeploymentForAllNamespaces({ ...page }))),
    budgets: memoize(() => allPages((page) => policy.listPodDisruptionBudgetForAllNamespaces({ ...page }))),
    list: async <T extends KubernetesObject>(apiVersion: string, kind: string) => {
      const key = `${apiVersion} ${kind}`;
      const pending = lists.get(key) ?? listKnown<KubernetesObject>(connection, apiVersion, kind);
      lists.set(key, pending);
      return (await pending) as T[];
    },
    ciliumIsOurs: memoize(() => ciliumIsOurs(connection)),
    hosts: inspected,
    chart: memoize(chart),
  };
}

function memoize<T>(read: () => Promise<T>): () => Promise<T> {
  let pending: Promise<T> | undefined;
  return () => (pending ??= read());
}
