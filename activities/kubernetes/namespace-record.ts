import { PatchStrategy, setHeaderOptions, type V1ConfigMap } from '@kubernetes/client-node';
import { z } from 'zod';
import { oneLine } from '../../model/printable.ts';
import { failure } from '../support/failures.ts';
import type { ClusterConnection } from './connection.ts';
import { httpStatus, ifFound } from './errors.ts';
import { ciliumNamespace as namespace, fieldManager, namespaceRecordName as name, ownedLabels } from './names.ts';

/** The record, as messages name it. */
export const recordText = `ConfigMap ${namespace}/${name}`;

const used = 'true';

const dataSchema = z.object({
  createdBy: z.enum(['worker', 'administrator']),
  uid: z.string().max(100).optional(),
  token: z.string().max(100).optional(),
  hostImage: z.string().max(1_000).optional(),
  inUse: z.literal(used).optional(),
  roleBindings: z.string().max(10_000).optional(),
});

/** Fields of the record, as they are written; null removes one. */
type RecordData = { [Key in keyof z.infer<typeof dataSchema>]?: z.infer<typeof dataSchema>[Key] | null };

/** The record of the namespace that is ours. It is the first object that is created, and the last that is removed. */
export interface NamespaceRecord {
  /** Who created the namespace. One of an administrator is kept at the end. */
  createdBy: 'worker' | 'administrator';
  /** UID of the namespace. Undefined until the worker that creates it knows it. */
  uid?: string | undefined;
  /** Annotation with which the worker creates the namespace. Only present as long as its UID is not recorded. */
  token?: string | undefined;
  /** Image that is present on every node and has a shell, for use when no agent runs any more. */
  hostImage?: string | undefined;
  /** True when the namespace contains, or may contain, objects of a migration. */
  inUse: boolean;
  /** Names of role bindings in the namespace that an administrator allows. */
  roleBindings: readonly string[];
  /** Identity and version of the ConfigMap: a change of any other version fails. */
  object: { uid: string; resourceVersion: string };
}

/**
 * Reads the record; undefined without one.
 * @throws ForeignNamespace when an administrator wrote a record that is not valid.
 */
export async function readNamespaceRecord({ core }: ClusterConnection): Promise<NamespaceRecord | undefined> {
  const object = await ifFound(core.readNamespacedConfigMap({ name, namespace }));
  return object === undefined ? undefined : parseRecord(object);
}

function parseRecord({ data = {}, metadata = {} }: V1ConfigMap): NamespaceRecord {
  const parsed = dataSchema.safeParse(data);
  if (!parsed.success)
    throw invalidRecord(parsed.error.issues.map(({ path, message }) => `${path.join()}: ${message}`));
  const { inUse, roleBindings = '', ...fields } = parsed.data;
  if (fields.createdBy === 'administrator' && fields.uid === undefined) throw invalidRecord(['it has no uid']);
  return {
    ...fields,
    inUse: fields.createdBy === 'worker' || inUse === used,
    roleBindings: roleBindings.split(/[\s,]+/).filter(Boolean),
    object: { uid: metadata.uid ?? '', resourceVersion: metadata.resourceVersion ?? '' },
  };
}

function invalidRecord(problems: readonly string[]): Error {
  const advice = 'write it again as docs/install.md describes, or delete it';
  return failure('ForeignNamespace', `${recordText} is not valid: ${oneLine(problems.join('; '))}; ${advice}`);
}

/** Creates the record of a namespace that this worker creates. @returns false when there is a record already. */
export async function createNamespaceRecord(
  { core }: ClusterConnection,
  data: Omit<RecordData, 'createdBy'>
): Promise<boolean> {
  const body = {
    metadata: { name, labels: ownedLabels },
    data: { createdBy: 'worker', ...data } as V1ConfigMap['data'],
  };
  return isDone(core.createNamespacedConfigMap({ namespace, fieldManager, body } as never));
}

/**
 * Changes fields of the record.
 * @returns false when the record has changed since it was read, or is gone.
 */
export async function updateNamespaceRecord(
  { core }: ClusterConnection,
  { object }: NamespaceRecord,
  { inUse, ...data }: Omit<RecordData, 'inUse'> & { inUse?: boolean }
): Promise<boolean> {
  const marks = inUse === undefined ? {} : { inUse: inUse ? used : null };
  const body = { metadata: object, data: { ...data, ...marks } };
  const merge = setHeaderOptions('Content-Type', PatchStrategy.MergePatch);
  return isDone(core.patchNamespacedConfigMap({ name, namespace, fieldManager, body }, merge));
}

/** Removes the record. @returns false when it has changed since it was read. */
export async function deleteNamespaceRecord(
  { core }: ClusterConnection,
  { object }: NamespaceRecord
): Promise<boolean> {
  return isDone(ifFound(core.deleteNamespacedConfigMap({ name, namespace, body: { preconditions: object } })));
}

/** Awaits a write. @returns false when the object is gone, or not in the state that the write expects. */
async function isDone(write: Promise<unknown>): Promise<boolean> {
  try {
    await write;
    return true;
  } catch (error) {
    if ([404, 409].includes(httpStatus(error) ?? 0)) return false;
    throw error;
  }
}
