import type { ClusterConnection } from '../kubernetes/connection.ts';
import { ifFound } from '../kubernetes/errors.ts';
import { ciliumNamespace as namespace } from '../kubernetes/names.ts';

/** ConfigMap of Cilium's chart. */
export const configName = 'cilium-config';

/** Returns Cilium's configuration as its agents read it; empty when there is none. */
export async function readCiliumConfig({ core }: ClusterConnection): Promise<Record<string, string>> {
  return (await ifFound(core.readNamespacedConfigMap({ name: configName, namespace })))?.data ?? {};
}
