import { createHash } from 'node:crypto';
import type { ClusterConnection } from '../kubernetes/connection.ts';
import { ifFound } from '../kubernetes/errors.ts';
import { helperNamespace as namespace } from '../kubernetes/names.ts';
import { prober } from './prober-ports.ts';

/** Length of a key, in characters; images/prober/access.go requires it. */
const keyLength = 11;

/**
 * Builds the key that the probers of a migration share: they answer only those that know it. It admits to echoes and to
 * nothing else, so it may stand in the manifests of our pods.
 * @param serviceUid UID of the probers' service. The API server chooses it at random, and only those who may read our
 * namespace can know it. It is the same in every attempt, so that a repeated step changes no prober.
 */
export function buildProbeKey(serviceUid: string): string {
  return createHash('sha256').update(`prober ${serviceUid}`).digest('base64url').slice(0, keyLength);
}

/**
 * Reads the key of the probers in the cluster. Without their service, which no prober runs without, it is one that no
 * prober accepts.
 */
export async function readProbeKey({ core }: ClusterConnection): Promise<string> {
  const service = await ifFound(core.readNamespacedService({ name: prober, namespace }));
  return buildProbeKey(service?.metadata?.uid ?? '');
}
