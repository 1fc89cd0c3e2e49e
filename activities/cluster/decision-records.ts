import { PatchStrategy } from '@kubernetes/client-node';
import { z } from 'zod';
import type { Decision } from '../../model/decision.ts';
import { maxUserLength } from '../../model/migration-approval.ts';
import { withoutControls } from '../../model/printable.ts';
import { applyNamespace, ownsNamespace } from '../helpers/namespace.ts';
import type { ClusterConnection } from '../kubernetes/connection.ts';
import { ifFound } from '../kubernetes/errors.ts';
import { fieldManager, helperNamespace as name, isOurs } from '../kubernetes/names.ts';

const text = (length: number) => z.string().max(length).transform(withoutControls);
const decisionSchema = z.object({
  by: text(253),
  reason: text(1_000),
  at: z.iso.datetime(),
  principal: text(maxUserLength).optional(),
  object: text(253).optional(),
});

/**
 * Returns the decision that an annotation of our namespace records; undefined without one. A record that cannot be read
 * still counts, as a decision of an unknown person.
 */
export async function readDecision({ core }: ClusterConnection, annotation: string): Promise<Decision | undefined> {
  const namespace = await ifFound(core.readNamespace({ name }));
  const record = isOurs(namespace) ? namespace?.metadata?.annotations?.[annotation] : undefined;
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

/** Records a decision in an annotation of our namespace. The first record stays. */
export async function recordDecision(
  connection: ClusterConnection,
  annotation: string,
  decision: Decision
): Promise<void> {
  if ((await readDecision(connection, annotation)) !== undefined) return;
  // An apply without a running agent would remove the image for work on the nodes from a namespace that exists.
  if (!(await ownsNamespace(connection))) await applyNamespace(connection);
  await patchAnnotation(connection, annotation, JSON.stringify(decision));
}

/** Removes the record of a decision. */
export async function removeDecision(connection: ClusterConnection, annotation: string): Promise<void> {
  if ((await readDecision(connection, annotation)) !== undefined) await patchAnnotation(connection, annotation, null);
}

async function patchAnnotation(
  { objects }: ClusterConnection,
  annotation: string,
  value: string | null
): Promise<void> {
  const annotations = { [annotation]: value } as Record<string, string>;
  const patch = { apiVersion: 'v1', kind: 'Namespace', metadata: { name, annotations } };
  // A merge patch: the next server-side apply of the namespace would remove the annotation from an apply.
  await objects.patch(patch, undefined, undefined, fieldManager, undefined, PatchStrategy.MergePatch);
}
