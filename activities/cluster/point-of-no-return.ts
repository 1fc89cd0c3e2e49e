import { PatchStrategy } from '@kubernetes/client-node';
import { z } from 'zod';
import type { Decision } from '../../model/decision.ts';
import { applyNamespace } from '../helpers/namespace.ts';
import type { ClusterConnection } from '../kubernetes/connection.ts';
import { ifFound } from '../kubernetes/errors.ts';
import { fieldManager, helperNamespace as name, isOurs, noReturnAnnotation } from '../kubernetes/names.ts';
import type { OnCluster } from '../kubernetes/on-cluster.ts';

const decisionSchema = z.object({ by: z.string().max(253), reason: z.string().max(1_000), at: z.iso.datetime() });

/** Creates the activity that records the point of no return in the cluster. */
export function createNoReturnActivities(onCluster: OnCluster) {
  return {
    /**
     * Records that the removal of Canal begins. Runs after this one, also under another workflow ID or on another
     * Temporal server, read it and roll nothing back. The first record stays.
     */
    recordPointOfNoReturn: onCluster(
      'record the point of no return',
      async (connection, { approval }: { cluster: string; approval: Decision }): Promise<void> => {
        if ((await readPointOfNoReturn(connection)) !== undefined) return;
        await applyNamespace(connection);
        const annotations = { [noReturnAnnotation]: JSON.stringify(approval) };
        const patch = { apiVersion: 'v1', kind: 'Namespace', metadata: { name, annotations } };
        // A merge patch: the next server-side apply of the namespace would remove the annotation from an apply.
        await connection.objects.patch(patch, undefined, undefined, fieldManager, undefined, PatchStrategy.MergePatch);
      }
    ),
  };
}

/**
 * Returns the approval with which the removal of Canal began; undefined before it. A record that cannot be read still
 * counts: it is safer to continue a removal than to roll back to half of Canal.
 */
export async function readPointOfNoReturn({ core }: ClusterConnection): Promise<Decision | undefined> {
  const namespace = await ifFound(core.readNamespace({ name }));
  const record = isOurs(namespace) ? namespace?.metadata?.annotations?.[noReturnAnnotation] : undefined;
  if (record === undefined) return undefined;
  const reason = 'the record in the cluster is not readable';
  const unknown: Decision = { by: 'unknown', reason, at: new Date().toISOString() };
  try {
    const parsed = decisionSchema.safeParse(JSON.parse(record));
    return parsed.success ? parsed.data : unknown;
  } catch {
    return unknown;
  }
}
