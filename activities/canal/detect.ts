import type { V1DaemonSet, V1PodSpec } from '@kubernetes/client-node';
import type { ClusterFacts } from '../../model/cluster-facts.ts';
import { failure } from '../support/failures.ts';
import type { ClusterConnection } from '../kubernetes/connection.ts';

/** Canal's installation in a cluster. */
export interface CanalInstallation {
  daemonSet: V1DaemonSet;
  namespace: string;
  name: string;
  /** ConfigMap with Flannel's `net-conf.json`. */
  configMap: string;
  facts: NonNullable<ClusterFacts['canal']>;
}

/** Flannel's own defaults for VXLAN (flannel Documentation/backends.md). */
const defaultVni = 1;
const defaultPort = 8472;

/**
 * Finds Canal: a DaemonSet with the containers of Calico's node agent and of Flannel (calico manifests/canal.yaml).
 * @returns undefined when there is none.
 * @throws SourceNotFound when Flannel uses a backend other than VXLAN, or when its configuration cannot be read.
 */
export async function findCanal({ apps, core }: ClusterConnection): Promise<CanalInstallation | undefined> {
  const { items } = await apps.listDaemonSetForAllNamespaces({});
  const daemonSet = items.find((item) => {
    const names = (item.spec?.template.spec?.containers ?? []).map((container) => container.name);
    return names.includes('calico-node') && names.includes('kube-flannel');
  });
  if (daemonSet === undefined) return undefined;
  const { name = '', namespace = '' } = daemonSet.metadata ?? {};
  const spec = daemonSet.spec?.template.spec;
  const configMap = flannelConfigMap(spec);
  if (configMap === undefined)
    throw failure('SourceNotFound', `DaemonSet ${namespace}/${name} looks like Canal but has no volume flannel-cfg`);
  const { data } = await core.readNamespacedConfigMap({ name: configMap, namespace });
  return {
    daemonSet,
    namespace,
    name,
    configMap,
    facts: {
      version: calicoVersion(spec),
      ...parseNetConf(data?.['net-conf.json'], `ConfigMap ${namespace}/${configMap}`),
    },
  };
}

/** Returns the name of the ConfigMap with Flannel's configuration, as Canal's pods mount it. */
function flannelConfigMap(spec: V1PodSpec | undefined): string | undefined {
  return spec?.volumes?.find((volume) => volume.name === 'flannel-cfg')?.configMap?.name;
}

/** Returns Calico's version: the tag of its image. */
function calicoVersion(spec: V1PodSpec | undefined): string {
  const image = spec?.containers.find((container) => container.name === 'calico-node')?.image ?? '';
  return image.split(':').at(-1) ?? '';
}

/**
 * Parses Flannel's configuration.
 * @throws SourceNotFound when it is not a configuration of Canal on VXLAN.
 */
export function parseNetConf(
  text: string | undefined,
  location: string
): { podCidr: string; vni: number; port: number } {
  let parsed: unknown;
  try {
    parsed = JSON.parse(text ?? '');
  } catch {
    throw failure('SourceNotFound', `${location} has no readable net-conf.json`);
  }
  const conf = parsed as { Network?: unknown; Backend?: { Type?: unknown; VNI?: unknown; Port?: unknown } } | null;
  const type = conf?.Backend?.Type;
  if (type !== 'vxlan') {
    throw failure(
      'SourceNotFound',
      `${location}: Flannel's backend is ${JSON.stringify(type)}; only vxlan can be migrated`
    );
  }
  if (typeof conf?.Network !== 'string') throw failure('SourceNotFound', `${location}: net-conf.json names no Network`);
  const number = (value: unknown, otherwise: number): number =>
    typeof value === 'number' && value > 0 ? value : otherwise;
  return {
    podCidr: conf.Network,
    vni: number(conf.Backend?.VNI, defaultVni),
    port: number(conf.Backend?.Port, defaultPort),
  };
}
