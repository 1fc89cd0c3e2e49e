import { z } from 'zod';
import type { Decision } from '../../model/decision.ts';
import { maxUserLength } from '../../model/migration-approval.ts';
import { withoutControls } from '../../model/printable.ts';
import { applyNamespace } from '../helpers/namespace.ts';
import type { ClusterConnection } from '../kubernetes/connection.ts';
import { patchNamespaceAnnotations, readOwnNamespace } from '../kubernetes/own-namespace.ts';

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
export async function readDecision(connection: ClusterConnection, annotation: string): Promise<Decision | undefined> {
  const record = (await readOwnNamespace(connection))?.metadata?.annotations?.[annotation];
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
  await applyNamespace(connection);
  await patchNamespaceAnnotations(connection, { [annotation]: JSON.stringify(decision) });
}

/** Removes the record of a decision. */
export async function removeDecision(connection: ClusterConnection, annotation: string): Promise<void> {
  if ((await readDecision(connection, annotation)) !== undefined)
    await patchNamespaceAnnotations(connection, { [annotation]: null });
}
