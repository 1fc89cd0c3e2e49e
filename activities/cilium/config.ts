import type { ClusterConnection } from '../kubernetes/connection.ts';
import { ifFound } from '../kubernetes/errors.ts';
import { ciliumNamespace as namespace } from '../kubernetes/names.ts';

/** ConfigMap of Cilium's chart. */
export const configName = 'cilium-config';

/** Returns Cilium's configuration as its agents read it; empty when there is none. */
export async function readCiliumConfig({ core }: ClusterConnection): Promise<Record<string, string>> {
  return (await ifFound(core.readNamespacedConfigMap({ name: configName, namespace })))?.data ?? {};
}

/** Returns the time of the last change of Cilium's configuration (Unix, ms); by the API server's clock, in seconds. */
export async function readConfigChange({ core }: ClusterConnection): Promise<number> {
  const { metadata } = await core.readNamespacedConfigMap({ name: configName, namespace });
  const changes = (metadata?.managedFields ?? []).flatMap(({ time }) => (time === undefined ? [] : [time.getTime()]));
  return Math.max(metadata?.creationTimestamp?.getTime() ?? 0, ...changes);
}

/**
 * Compares a configuration with what the migration needs.
 * @param expected values by key; null for a key that must be missing.
 * @returns a text for each key that differs.
 */
export function findConfigDifferences(
  config: Readonly<Record<string, string>>,
  expected: Readonly<Record<string, string | null>>
): string[] {
  return Object.entries(expected)
    .filter(([key, value]) => (config[key] ?? null) !== value)
    .map(([key, value]) => `${key} is ${JSON.stringify(config[key] ?? null)}, not ${JSON.stringify(value)}`);
}
