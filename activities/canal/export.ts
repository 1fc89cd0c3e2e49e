import { createHash } from 'node:crypto';
import { promisify } from 'node:util';
import { gzip } from 'node:zlib';
import type { KubernetesObject } from '@kubernetes/client-node';
import { failure } from '../support/failures.ts';
import { applyObject, listKnown } from '../kubernetes/apply.ts';
import type { ClusterConnection } from '../kubernetes/connection.ts';
import { listDefinitions } from '../kubernetes/crds.ts';
import { ifFound } from '../kubernetes/errors.ts';
import type { OnCluster } from '../kubernetes/on-cluster.ts';
import { ciliumNamespace as namespace, ownedLabels } from '../kubernetes/names.ts';
import { findCanal } from './detect.ts';

/** API group of Calico's objects. */
export const calicoGroup = 'crd.projectcalico.org';

/** Prefix of the ConfigMaps' names; a number from 0 follows. */
export const exportPrefix = 'calico-export';

const labels = { ...ownedLabels, 'app.kubernetes.io/component': exportPrefix };

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

/** Creates the activity that exports Calico's objects. */
export function createExportActivities(onCluster: OnCluster) {
  return {
    /**
     * Writes all of Calico's objects into ConfigMaps and reads them back. Once Canal is removed, an existing export
     * stays unchanged: a new one might miss objects.
     * @returns the ConfigMaps, as namespace/name; empty when there is nothing to export.
     * @throws ExportFailed when the data that was read back differs from what was written.
     */
    exportCalico: onCluster("export Calico's objects", async (connection): Promise<string[]> => {
      const existing = await readExport(connection);
      if (existing !== undefined && (await findCanal(connection)) === undefined) return existing.names;
      const objects = await calicoObjects(connection);
      if (objects.length === 0) return existing?.names ?? [];
      const text = objects.map((object) => JSON.stringify(object)).join('\n') + '\n';
      // The gzip header has no timestamp, so the same objects give the same bytes.
      const packed = await promisify(gzip)(text);
      await writeExport(connection, packed, objects.length);
      const written = await readExport(connection);
      if (written?.checksum !== sha256(packed))
        throw failure('ExportFailed', 'the export of Calico objects is not what was written', { retryable: true });
      return written.names;
    }),
  };
}

/** Returns true when a complete export exists. */
export async function isExported(connection: ClusterConnection): Promise<boolean> {
  return (await readExport(connection)) !== undefined;
}

/** Returns all of Calico's objects, in the form in which a user would apply them. */
export async function calicoObjects(connection: ClusterConnection): Promise<KubernetesObject[]> {
  const exported: KubernetesObject[] = [];
  for (const { spec } of await listDefinitions(connection, calicoGroup)) {
    const version = spec.versions.find(({ storage }) => storage)?.name ?? 'v1';
    const objects = await listKnown<KubernetesObject>(connection, `${calicoGroup}/${version}`, spec.names.kind);
    for (const object of objects) {
      const { managedFields, resourceVersion, uid, generation, ...metadata } = object.metadata ?? {};
      exported.push({ ...object, metadata });
    }
  }
  return exported;
}

async function writeExport(connection: ClusterConnection, packed: Buffer, objects: number): Promise<void> {
  const parts = Math.ceil(packed.length / maxPartBytes);
  // The first ConfigMap is written last: it marks the export as complete.
  for (let part = parts - 1; part >= 0; part--) {
    const bytes = packed.subarray(part * maxPartBytes, (part + 1) * maxPartBytes);
    await applyObject(connection, {
      apiVersion: 'v1',
      kind: 'ConfigMap',
      metadata: {
        name: `${exportPrefix}-${part}`,
        namespace,
        labels,
        ...(part === 0 && {
          annotations: {
            [annotations.parts]: String(parts),
            [annotations.objects]: String(objects),
            [annotations.checksum]: sha256(packed),
          },
        }),
      },
      ...{ binaryData: { [key]: bytes.toString('base64') } },
    });
  }
}

/**
 * Reads the export and verifies that it is complete.
 * @returns undefined when it is incomplete or missing.
 */
async function readExport({ core }: ClusterConnection): Promise<{ names: string[]; checksum: string } | undefined> {
  const read = (part: number) => ifFound(core.readNamespacedConfigMap({ name: `${exportPrefix}-${part}`, namespace }));
  const first = await read(0);
  const { [annotations.parts]: count = '0', [annotations.checksum]: expected } = first?.metadata?.annotations ?? {};
  const parts = Number(count);
  const buffers: Buffer[] = [];
  for (let part = 0; part < parts; part++) {
    const data = (part === 0 ? first : await read(part))?.binaryData?.[key];
    if (data === undefined) return undefined;
    buffers.push(Buffer.from(data, 'base64'));
  }
  const checksum = sha256(Buffer.concat(buffers));
  if (parts === 0 || checksum !== expected) return undefined;
  return { names: buffers.map((_, part) => `${namespace}/${exportPrefix}-${part}`), checksum };
}

function sha256(bytes: Buffer): string {
  return createHash('sha256').update(bytes).digest('hex');
}
