import type { V1DaemonSet } from '@kubernetes/client-node';
import { readCniPaths } from '../../activities/canal/installer.ts';
import type { CanalInstallation } from '../../activities/canal/detect.ts';
import type { ClusterReader } from '../../activities/preflight/cluster-reader.ts';
import type { HostFacts } from '../../activities/preflight/host-facts.ts';
import { readKubeProxies } from '../../activities/preflight/kube-proxy.ts';
import { parseInput } from '../../model/input.ts';

/** Facts of a cluster for a check, without an API server. */
export interface PreflightCluster {
  /**
   * Facts by node; undefined when the nodes were not inspected.
   * @default undefined
   */
  hosts?: Record<string, Partial<HostFacts>> | undefined;
  /** @default not installed */
  canal?: CanalInstallation;
  /** ConfigMaps by name, in any namespace. */
  configMaps?: Record<string, Record<string, string>>;
  /** Pods of the namespace kube-system. */
  systemPods?: object[];
  /** Further fields of the input. */
  input?: object;
  /** Further readers, such as `services`. */
  more?: Partial<ClusterReader>;
}

/** Returns a reader of a cluster that has only the given facts. */
export function preflightCluster(given: PreflightCluster = {}): ClusterReader {
  const { canal, configMaps = {}, systemPods = [], input = {}, more = {} } = given;
  const parsed = parseInput({ cluster: 'prod', ...input });
  if ('problems' in parsed) throw new Error(parsed.problems.join());
  const none = (): Promise<never[]> => Promise.resolve([]);
  const page = (): Promise<{ items: never[] }> => Promise.resolve({ items: [] });
  const hosts =
    given.hosts && new Map(Object.entries(given.hosts).map(([node, facts]) => [node, hostFacts(facts)] as const));
  const core = {
    listNamespacedSecret: page,
    listNamespacedPod: () => Promise.resolve({ items: systemPods }),
    readNamespacedConfigMap: ({ name }: { name: string }) => Promise.resolve({ data: configMaps[name] ?? {} }),
  };
  const connection = { core, objects: { list: page } } as unknown as ClusterReader['connection'];
  return {
    connection,
    input: parsed.input,
    canal: () => Promise.resolve(canal),
    canalFacts: () => Promise.resolve(canal && { version: 'v3.28.5', podCidr: '10.244.0.0/16', vni: 1, port: 8472 }),
    cniPaths: () => Promise.resolve(canal && readCniPaths(canal)),
    kubeProxies: () => readKubeProxies(connection, hosts),
    ciliumIsOurs: () => Promise.resolve(false),
    hosts: () => Promise.resolve(hosts),
    ...{ nodes: none, pods: none, services: none, daemonSets: none, deployments: none, budgets: none, list: none },
    ...more,
  } as unknown as ClusterReader;
}

/** Returns the facts of an ordinary node; a test sets only those that it needs. */
export function hostFacts(more: Partial<HostFacts> = {}): HostFacts {
  return {
    btf: true,
    rpFilter: { all: 0, default: 0 },
    links: [],
    routes: [],
    cniFiles: { '10-canal.conflist': ['calico', 'portmap', 'bandwidth'] },
    peers: [],
    ...more,
  };
}

/** Parts of Canal that differ between installations. */
export interface CanalParts {
  /** Folder of CNI files on the nodes. @default /etc/cni/net.d */
  configFolder?: string;
  /** Folder of plugins on the nodes. @default /opt/cni/bin */
  binaryFolder?: string;
  /** Environment of calico-node. */
  calicoEnv?: object[];
  /** Command of kube-flannel. */
  flannelCommand?: string[];
}

/** Returns Canal as its manifest installs it, with volumes that have names of their own. */
export function canalInstallation(parts: CanalParts = {}): CanalInstallation {
  const { configFolder = '/etc/cni/net.d', binaryFolder = '/opt/cni/bin', calicoEnv = [], flannelCommand = [] } = parts;
  const fromConfig = (name: string, key: string): object => ({
    name,
    valueFrom: { configMapKeyRef: { name: 'canal-config', key } },
  });
  const spec = {
    initContainers: [
      {
        name: 'install-cni',
        env: [{ name: 'CNI_CONF_NAME', value: '10-canal.conflist' }, fromConfig('CNI_MTU', 'veth_mtu')],
        volumeMounts: [
          { name: 'files', mountPath: '/host/etc/cni/net.d' },
          { name: 'plugins', mountPath: '/host/opt/cni/bin/' },
        ],
      },
    ],
    containers: [
      { name: 'calico-node', env: calicoEnv, volumeMounts: [{ name: 'files', mountPath: '/host/etc/cni/net.d' }] },
      {
        name: 'kube-flannel',
        command: ['/opt/bin/flanneld', ...flannelCommand],
        env: [fromConfig('FLANNELD_IFACE', 'canal_iface')],
      },
    ],
    volumes: [
      { name: 'files', hostPath: { path: configFolder } },
      { name: 'plugins', hostPath: { path: binaryFolder } },
    ],
  };
  const daemonSet = { spec: { template: { spec } } } as unknown as V1DaemonSet;
  return { daemonSet, namespace: 'kube-system', name: 'canal', configMap: 'canal-config' };
}
