import { createHash } from 'node:crypto';
import { promisify } from 'node:util';
import { gunzip, gzip } from 'node:zlib';
import type { KubernetesObject, V1CustomResourceDefinition } from '@kubernetes/client-node';
import { failure } from '../support/failures.ts';
import { applyObject, deleteObject, listKnown, type NamedObject } from './apply.ts';
import type { ClusterConnection } from './connection.ts';
import { ifFound } from './errors.ts';
import { ciliumNamespace as namespace, ownedLabels } from './names.ts';

/**
 * Annotations of the first ConfigMap: number of ConfigMaps, number of objects, SHA-256 of the whole compressed text.
 */
const annotations = {
  parts: 'cni-live-migration/parts',
  objects: 'cni-live-migration/objects',
  checksum: 'cni-live-migration/sha256',
};

/** Maximum bytes in one ConfigMap. Base64 adds a third, and the API server accepts 1 MiB in total. */
const maxPartBytes = 700_000;

/** Key in each ConfigMap. The parts, concatenated, are the gzip of one JSON object per line. */
const key = 'objects.ndjson.gz';

/** An export that was read and is complete. */
export interface StoredExport {
  /** ConfigMaps, as namespace/name. */
  names: string[];
  /** SHA-256 of the compressed text. */
  checksum: string;
  packed: Buffer;
}

/** Returns the objects of some CRDs, in the form in which a user would apply them. */
export async function listCustomObjects(
  connection: ClusterConnection,
  definitions: readonly V1CustomResourceDefinition[]
): Promise<KubernetesObject[]> {
  const exported: KubernetesObject[] = [];
  for (const { spec } of definitions) {
    const version = spec.versions.find(({ storage }) => storage)?.name ?? 'v1';
    const objects = await listKnown<KubernetesObject>(connection, `${spec.group}/${version}`, spec.names.kind);
    for (const object of objects) {
      const { managedFields, resourceVersion, uid, generation, ...metadata } = object.metadata ?? {};
      exported.push({ ...object, metadata });
    }
  }
  return exported;
}

/**
 * Writes objects into ConfigMaps and reads them back. The same objects give the same ConfigMaps.
 * @param prefix prefix of the ConfigMaps' names; a number from 0 follows.
 * @returns the ConfigMaps, as namespace/name.
 * @throws ExportFailed when the data that was read back differs from what was written.
 */
export async function writeExport(
  connection: ClusterConnection,
  prefix: string,
  objects: readonly KubernetesObject[]
): Promise<string[]> {
  const text = objects.map((object) => JSON.stringify(object)).join('\n') + '\n';
  // The gzip header has no timestamp, so the same objects give the same bytes.
  const packed = await promisify(gzip)(text);
  const parts = Math.ceil(packed.length / maxPartBytes);
  // The first ConfigMap is written last: it marks the export as complete.
  for (let part = parts - 1; part >= 0; part--) {
    const bytes = packed.subarray(part * maxPartBytes, (part + 1) * maxPartBytes);
    await applyObject(connection, {
      apiVersion: 'v1',
      kind: 'ConfigMap',
      metadata: {
        name: `${prefix}-${part}`,
        namespace,
        labels: { ...ownedLabels, 'app.kubernetes.io/component': prefix },
        ...(part === 0 && {
          annotations: {
            [annotations.parts]: String(parts),
            [annotations.objects]: String(objects.length),
            [annotations.checksum]: sha256(packed),
          },
        }),
      },
      ...{ binaryData: { [key]: bytes.toString('base64') } },
    });
  }
  await removeSurplusParts(connection, prefix, parts);
  const written = await readExport(connection, prefix);
  if (written?.checksum !== sha256(packed))
    throw failure(
      'ExportFailed',
      `the export ${namespace}/${prefix}-0 is not what was written: check which program changes it`,
      { retryable: true }
    );
  return written.names;
}

/** Removes the ConfigMaps of an earlier, larger export. */
async function removeSurplusParts(connection: ClusterConnection, prefix: string, parts: number): Promise<void> {
  for (let part = parts; ; part++) {
    const surplus: NamedObject = {
      apiVersion: 'v1',
      kind: 'ConfigMap',
      metadata: { name: `${prefix}-${part}`, namespace },
    };
    const { name } = surplus.metadata;
    if ((await ifFound(connection.core.readNamespacedConfigMap({ name, namespace }))) === undefined) return;
    await deleteObject(connection, surplus);
  }
}

/**
 * Reads an export and verifies that it is complete.
 * @returns undefined when it is incomplete or missing.
 */
export async function readExport({ core }: ClusterConnection, prefix: string): Promise<StoredExport | undefined> {
  const read = (part: number) => ifFound(core.readNamespacedConfigMap({ name: `${prefix}-${part}`, namespace }));
  const first = await read(0);
  const { [annotations.parts]: count = '0', [annotations.checksum]: expected } = first?.metadata?.annotations ?? {};
  const parts = Number(count);
  const buffers: Buffer[] = [];
  for (let part = 0; part < parts; part++) {
    const data = (part === 0 ? first : await read(part))?.binaryData?.[key];
    if (data === undefined) return undefined;
    buffers.push(Buffer.from(data, 'base64'));
  }
  const packed = Buffer.concat(buffers);
  const checksum = sha256(packed);
  if (parts === 0 || checksum !== expected) return undefined;
  return { names: buffers.map((_, part) => `${namespace}/${prefix}-${part}`), checksum, packed };
}

/** Returns the objects of an export. */
export async function unpackExport({ packed }: StoredExport): Promise<KubernetesObject[]> {
  const text = (await promisify(gunzip)(packed)).toString();
  return text
    .split('\n')
    .filter(Boolean)
    .map((line) => JSON.parse(line) as KubernetesObject);
}

function sha256(bytes: Buffer): string {
  return createHash('sha256').update(bytes).digest('hex');
}
