import { randomUUID } from 'node:crypto';
import type { V1Namespace } from '@kubernetes/client-node';
import { agentImage } from '../cilium/agents.ts';
import type { ClusterConnection } from '../kubernetes/connection.ts';
import { httpStatus, ifFound } from '../kubernetes/errors.ts';
import { fieldManager, helperNamespace as name, namespaceTokenAnnotation, ownedLabels } from '../kubernetes/names.ts';
import {
  createNamespaceRecord,
  readNamespaceRecord,
  recordText,
  updateNamespaceRecord,
  type NamespaceRecord,
} from '../kubernetes/namespace-record.ts';
import { findForeign, patchNamespace, readNamespaceState } from '../kubernetes/own-namespace.ts';
import { failure } from '../support/failures.ts';
import { poll } from '../support/poll.ts';
import { describeForeignContents, listForeignContents } from './namespace-contents.ts';

/** Labels of our namespace. */
const labels = { ...ownedLabels, 'pod-security.kubernetes.io/enforce': 'privileged' };

/** Maximum number of attempts, each of which begins with reading the state that a parallel activity has changed. */
const maxAttempts = 10;

/**
 * Creates our namespace if it does not exist, and prepares it for use. As long as it exists, or is recorded as in use, a
 * migration or its cleanup is not finished.
 *
 * The record is written first, with a random token; the namespace is then created, never applied, with the token as an
 * annotation; then its UID is recorded. An existing namespace is only used if the record proves that it is ours.
 * @param hostImage image for work on the nodes, for use when no agent runs any more; the known one by default.
 * @throws ForeignNamespace when someone else created it, or when it contains role bindings or pods of others.
 */
export async function applyNamespace(connection: ClusterConnection, hostImage?: string): Promise<void> {
  const image = hostImage ?? (await agentImage(connection));
  for (let attempt = 1; attempt <= maxAttempts; attempt++) {
    if (await tryApply(connection, image)) return;
  }
  throw failure('KubernetesError', `${recordText} changes during every attempt; check which program changes it`, {
    retryable: true,
  });
}

/**
 * Checks that the namespace of our helpers is not one of others.
 * @throws ForeignNamespace when someone else created it, or when it contains role bindings or pods of others.
 */
export async function requireOwnNamespace(connection: ClusterConnection): Promise<void> {
  const current = await readNamespaceState(connection);
  const problem =
    findForeign(current) ??
    (current.state === 'ours'
      ? describeForeignContents(await listForeignContents(connection, current.record))
      : undefined);
  if (problem !== undefined) throw failure('ForeignNamespace', problem);
}

/** @returns false when the state has to be read again. */
async function tryApply(connection: ClusterConnection, image: string | undefined): Promise<boolean> {
  const current = await readNamespaceState(connection);
  const problem = findForeign(current);
  if (problem !== undefined) throw failure('ForeignNamespace', problem);
  if (current.state !== 'ours') {
    await createNamespace(connection, current.record, image);
    return false;
  }
  const { namespace, record } = current;
  if (namespace.metadata?.deletionTimestamp !== undefined) {
    await waitUntilDeleted(connection, namespace.metadata.uid);
    return false;
  }
  const contents = describeForeignContents(await listForeignContents(connection, record));
  if (contents !== undefined) {
    if (await hasChanged(connection, record)) return false;
    throw failure('ForeignNamespace', contents);
  }
  if (!(await completeRecord(connection, record, namespace, image))) return false;
  await repairMetadata(connection, namespace);
  return true;
}

/** Creates the namespace between two writes of its record. The caller reads the result. */
async function createNamespace(
  connection: ClusterConnection,
  record: NamespaceRecord | undefined,
  image: string | undefined
): Promise<void> {
  const requested = record?.uid === undefined ? record?.token : undefined;
  const token = requested ?? randomUUID();
  const hostImage = image === undefined ? {} : { hostImage: image };
  if (record === undefined) {
    if (!(await createNamespaceRecord(connection, { token, ...hostImage }))) return;
  } else if (requested === undefined) {
    if (!(await updateNamespaceRecord(connection, record, { token, uid: null, ...hostImage }))) return;
  }
  const uid = await postNamespace(connection, token);
  if (uid !== undefined) await recordCreated(connection, token, uid);
}

/** Creates the namespace. @returns its UID; undefined when there is one already. */
async function postNamespace({ core }: ClusterConnection, token: string): Promise<string | undefined> {
  const body = { metadata: { name, labels, annotations: { [namespaceTokenAnnotation]: token } } };
  try {
    return (await core.createNamespace({ fieldManager, body })).metadata?.uid;
  } catch (error) {
    if (httpStatus(error) === 409) return undefined;
    throw error;
  }
}

/** Records the UID of a namespace that this activity has just created. */
async function recordCreated(connection: ClusterConnection, token: string, uid: string): Promise<void> {
  const record = await readNamespaceRecord(connection);
  // Undefined: another activity has removed an earlier namespace with its record meanwhile.
  if (record === undefined) await createNamespaceRecord(connection, { uid });
  else if (record.token === token) await updateNamespaceRecord(connection, record, { uid, token: null });
}

async function waitUntilDeleted({ core }: ClusterConnection, uid: string | undefined): Promise<void> {
  await poll(
    async () =>
      (await ifFound(core.readNamespace({ name })))?.metadata?.uid === uid
        ? { waitingFor: `the deletion of namespace ${name}` }
        : { done: undefined },
    { timeoutMs: 180_000, onTimeout: 'CleanupIncomplete', advice: 'its status names what is left in it' }
  );
}

async function hasChanged(connection: ClusterConnection, { object }: NamespaceRecord): Promise<boolean> {
  const current = await readNamespaceRecord(connection);
  return current?.object.resourceVersion !== object.resourceVersion;
}

/** Adds to the record what it lacks about our namespace, which exists. @returns false when the record has changed. */
async function completeRecord(
  connection: ClusterConnection,
  record: NamespaceRecord,
  { metadata }: V1Namespace,
  image: string | undefined
): Promise<boolean> {
  const changes = {
    ...(record.uid === undefined && { uid: metadata?.uid ?? '', token: null }),
    ...(image !== undefined && image !== record.hostImage && { hostImage: image }),
    ...(!record.inUse && { inUse: true }),
  };
  return Object.keys(changes).length === 0 || updateNamespaceRecord(connection, record, changes);
}

/** Restores our labels, and removes the token, which has done its work. */
async function repairMetadata(connection: ClusterConnection, { metadata }: V1Namespace): Promise<void> {
  const hasLabels = Object.entries(labels).every(([key, value]) => metadata?.labels?.[key] === value);
  const hasToken = metadata?.annotations?.[namespaceTokenAnnotation] !== undefined;
  if (hasLabels && !hasToken) return;
  const annotations = { [namespaceTokenAnnotation]: null };
  await patchNamespace(connection, { uid: metadata?.uid ?? '', labels, annotations });
}
