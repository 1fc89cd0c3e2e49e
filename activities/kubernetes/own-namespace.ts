import { PatchStrategy, setHeaderOptions, type V1Namespace } from '@kubernetes/client-node';
import { failure } from '../support/failures.ts';
import type { ClusterConnection } from './connection.ts';
import { ifFound } from './errors.ts';
import { fieldManager, helperNamespace as name, namespaceTokenAnnotation } from './names.ts';
import { readNamespaceRecord, recordText, type NamespaceRecord } from './namespace-record.ts';

/** The namespace of our helpers, and whose it is. */
export type NamespaceState =
  | { state: 'absent'; record: NamespaceRecord | undefined }
  | { state: 'ours'; namespace: V1Namespace; record: NamespaceRecord }
  | { state: 'foreign'; namespace: V1Namespace; record: NamespaceRecord | undefined };

/**
 * Reads the namespace of our helpers. It is ours only when its UID is recorded, or when it has the token of a record
 * without a UID: no label and no other annotation shows who created it.
 */
export async function readNamespaceState(connection: ClusterConnection): Promise<NamespaceState> {
  const state = await readOnce(connection);
  // Another activity may have replaced the record between the two reads.
  return state.state === 'foreign' ? readOnce(connection) : state;
}

async function readOnce(connection: ClusterConnection): Promise<NamespaceState> {
  // The namespace first: its record is written before it is created.
  const namespace = await ifFound(connection.core.readNamespace({ name }));
  const record = await readNamespaceRecord(connection);
  if (namespace === undefined) return { state: 'absent', record };
  return record !== undefined && isRecorded(namespace, record)
    ? { state: 'ours', namespace, record }
    : { state: 'foreign', namespace, record };
}

function isRecorded({ metadata }: V1Namespace, { uid, token }: NamespaceRecord): boolean {
  if (uid !== undefined) return metadata?.uid === uid;
  return token !== undefined && metadata?.annotations?.[namespaceTokenAnnotation] === token;
}

/** Returns our namespace; undefined when there is none, or when it is not ours. */
export async function readOwnNamespace(connection: ClusterConnection): Promise<V1Namespace | undefined> {
  const current = await readNamespaceState(connection);
  return current.state === 'ours' ? current.namespace : undefined;
}

/** Returns true from the creation of our namespace, or from the first use of one that exists, until its removal is complete. */
export async function isNamespaceInUse(connection: ClusterConnection): Promise<boolean> {
  return (await readNamespaceRecord(connection))?.inUse ?? false;
}

/** @throws ForeignNamespace when the namespace of our helpers exists, and is not ours. */
export async function requireNoForeignNamespace(connection: ClusterConnection): Promise<void> {
  const current = await readNamespaceState(connection);
  const problem = findForeign(current);
  if (problem !== undefined) throw failure('ForeignNamespace', problem);
}

/** Returns why the namespace is not ours, and what to do; undefined when it is ours or can be created. */
export function findForeign({ state, record }: NamespaceState): string | undefined {
  if (state === 'ours') return undefined;
  if (state === 'absent') {
    if (record?.createdBy !== 'administrator') return undefined;
    return `namespace ${name} does not exist, and ${recordText} says that an administrator created it; create it again as docs/install.md describes, or delete that ConfigMap, so that the worker creates it`;
  }
  const reason =
    record === undefined
      ? `no ${recordText} says so`
      : `${recordText} is about another namespace of this name, which is gone`;
  return `namespace ${name} was not created for this service: ${reason}; delete the namespace, with whose permissions others could control the nodes; if an earlier build created it, see docs/runbooks.md`;
}

/**
 * Changes annotations of our namespace; null removes one. A merge patch: a server-side apply would remove the others.
 * @throws KubernetesError, retryable, when a value has no namespace to be written to.
 */
export async function patchNamespaceAnnotations(
  connection: ClusterConnection,
  annotations: Readonly<Record<string, string | null>>
): Promise<void> {
  const uid = (await readOwnNamespace(connection))?.metadata?.uid;
  if (uid !== undefined) return patchNamespace(connection, { uid, annotations });
  if (Object.values(annotations).every((value) => value === null)) return;
  throw failure('KubernetesError', `namespace ${name} was deleted meanwhile; the step is retried`, { retryable: true });
}

/**
 * Changes metadata of the namespace with this UID.
 * @throws ApiException when the namespace has another UID meanwhile.
 */
export async function patchNamespace(
  { core }: ClusterConnection,
  metadata: {
    uid: string;
    annotations?: Readonly<Record<string, string | null>>;
    labels?: Readonly<Record<string, string>>;
  }
): Promise<void> {
  const merge = setHeaderOptions('Content-Type', PatchStrategy.MergePatch);
  await core.patchNamespace({ name, fieldManager, body: { metadata } }, merge);
}
