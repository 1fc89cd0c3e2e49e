import type {
  KubernetesObject,
  V1DaemonSet,
  V1Deployment,
  V1Node,
  V1PodDisruptionBudget,
  V1Service,
} from '@kubernetes/client-node';
import type { MigrationInput } from '../../model/input.ts';
import { findCanal, type CanalInstallation } from '../canal/detect.ts';
import { ciliumIsOurs } from '../cilium/flip.ts';
import type { RenderedChart } from '../helm/render.ts';
import { listKnown } from '../kubernetes/apply.ts';
import type { ClusterConnection } from '../kubernetes/connection.ts';
import { listPods, type PodFacts } from '../kubernetes/pods.ts';
import type { HostFacts } from './host-facts.ts';

/** What checks read a cluster through. Everything is read once, however many checks ask for it. */
export interface ClusterReader {
  connection: ClusterConnection;
  input: MigrationInput;
  canal: () => Promise<CanalInstallation | undefined>;
  nodes: () => Promise<V1Node[]>;
  pods: () => Promise<PodFacts[]>;
  services: () => Promise<V1Service[]>;
  daemonSets: () => Promise<V1DaemonSet[]>;
  deployments: () => Promise<V1Deployment[]>;
  budgets: () => Promise<V1PodDisruptionBudget[]>;
  /** Objects of a kind; none where the cluster does not know it. */
  list: <T extends KubernetesObject>(apiVersion: string, kind: string) => Promise<T[]>;
  /** Whether Cilium is there because of an earlier run of this migration. */
  ciliumIsOurs: () => Promise<boolean>;
  /** What the nodes themselves are like, by name; undefined where no pods of ours may run on them. */
  hosts: () => Promise<Map<string, HostFacts> | undefined>;
  /** The chart as it would be applied first. */
  chart: () => Promise<RenderedChart>;
}

/** What {@link clusterReader} cannot read by itself. */
export interface ReaderParts {
  hosts: ClusterReader['hosts'];
  chart: ClusterReader['chart'];
}

/** A reader of one cluster, for one preflight. */
export function clusterReader(
  connection: ClusterConnection,
  input: MigrationInput,
  { hosts, chart }: ReaderParts
): ClusterReader {
  const { core, apps, policy } = connection;
  const lists = new Map<string, Promise<KubernetesObject[]>>();
  return {
    connection,
    input,
    canal: once(() => findCanal(connection)),
    nodes: once(async () => (await core.listNode({})).items),
    pods: once(() => listPods(connection)),
    services: once(async () => (await core.listServiceForAllNamespaces({})).items),
    daemonSets: once(async () => (await apps.listDaemonSetForAllNamespaces({})).items),
    deployments: once(async () => (await apps.listDeploymentForAllNamespaces({})).items),
    budgets: once(async () => (await policy.listPodDisruptionBudgetForAllNamespaces({})).items),
    list: async <T extends KubernetesObject>(apiVersion: string, kind: string) => {
      const key = `${apiVersion} ${kind}`;
      const known = lists.get(key) ?? listKnown<KubernetesObject>(connection, apiVersion, kind);
      lists.set(key, known);
      return (await known) as T[];
    },
    ciliumIsOurs: once(() => ciliumIsOurs(connection)),
    hosts: once(hosts),
    chart: once(chart),
  };
}

function once<T>(read: () => Promise<T>): () => Promise<T> {
  let reading: Promise<T> | undefined;
  return () => (reading ??= read());
}
