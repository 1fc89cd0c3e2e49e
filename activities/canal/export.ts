import { createHash } from 'node:crypto';
import { promisify } from 'node:util';
import { gzip } from 'node:zlib';
import type { KubernetesObject } from '@kubernetes/client-node';
import { failure } from '../support/failures.ts';
import { applyObject, listKnown } from '../kubernetes/apply.ts';
import type { ClusterConnection, Clusters } from '../kubernetes/connection.ts';
import { definitionsOf } from '../kubernetes/crds.ts';
import { ifFound, withFailures } from '../kubernetes/errors.ts';
import { ciliumNamespace as namespace, ownedLabels } from '../kubernetes/names.ts';
import { findCanal } from './detect.ts';

/** API group of Calico's objects. */
export const calicoGroup = 'crd.projectcalico.org';

/** The ConfigMaps are named so, with a number from 0. */
export const exportPrefix = 'calico-export';

const labels = { ...ownedLabels, 'app.kubernetes.io/component': exportPrefix };

/** Annotations of the first ConfigMap: number of ConfigMaps, number of objects, SHA-256 of the whole compressed text. */
const annotations = {
  parts: 'cni-live-migration/parts',
  objects: 'cni-live-migration/objects',
  checksum: 'cni-live-migration/sha256',
};

/** Bytes in one ConfigMap: base64 makes a third more of them, and the API server takes 1 MiB in all. */
const partBytes = 700_000;

/** Key in each ConfigMap. The parts one after the other are gzip of one JSON object a line. */
const key = 'objects.ndjson.gz';

/** The activity that exports what Calico knows. */
export function createExportActivities(clusters: Clusters) {
  return {
    /**
     * Writes all of Calico's objects into ConfigMaps, and reads them back. Once Canal is gone, an export that is there
     * stays as it is: what would be read then may be a part of it.
     * @returns the ConfigMaps, namespace/name; none when there is nothing to export.
     * @throws ExportFailed when what was written is not what is read back.
     */
    exportCalico: withFailures(
      "export Calico's objects",
      async ({ cluster }: { cluster: string }): Promise<string[]> => {
        const connection = await clusters.connect(cluster);
        const existing = await readExport(connection);
        if (existing !== undefined && (await findCanal(connection)) === undefined) return existing.names;
        const objects = await calicoObjects(connection);
        if (objects.length === 0) return existing?.names ?? [];
        const text = objects.map((object) => JSON.stringify(object)).join('\n') + '\n';
        // Without a time in it, so that the same objects give the same bytes.
        const packed = await promisify(gzip)(text);
        await write(connection, packed, objects.length);
        const written = await readExport(connection);
        if (written?.checksum !== checksumOf(packed))
          throw failure('ExportFailed', 'the export of Calico objects is not what was written', { retryable: true });
        return written.names;
      }
    ),
  };
}

/** Whether there is a whole export. */
export async function isExported(connection: ClusterConnection): Promise<boolean> {
  return (await readExport(connection)) !== undefined;
}

/** All of Calico's objects, as somebody would write them who makes them anew. */
export async function calicoObjects(connection: ClusterConnection): Promise<KubernetesObject[]> {
  const found: KubernetesObject[] = [];
  for (const { spec } of await definitionsOf(connection, calicoGroup)) {
    const version = spec.versions.find(({ storage }) => storage)?.name ?? 'v1';
    const objects = await listKnown<KubernetesObject>(connection, `${calicoGroup}/${version}`, spec.names.kind);
    for (const object of objects) {
      const { managedFields, resourceVersion, uid, generation, ...metadata } = object.metadata ?? {};
      found.push({ ...object, metadata });
    }
  }
  return found;
}

async function write(connection: ClusterConnection, packed: Buffer, objects: number): Promise<void> {
  const parts = Math.ceil(packed.length / partBytes);
  // The first one last: it says that all are there.
  for (let part = parts - 1; part >= 0; part--) {
    const bytes = packed.subarray(part * partBytes, (part + 1) * partBytes);
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
            [annotations.checksum]: checksumOf(packed),
          },
        }),
      },
      ...{ binaryData: { [key]: bytes.toString('base64') } },
    });
  }
}

/** Reads the export and checks that it is whole; undefined when it is not, or when there is none. */
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
  const checksum = checksumOf(Buffer.concat(buffers));
  if (parts === 0 || checksum !== expected) return undefined;
  return { names: buffers.map((_, part) => `${namespace}/${exportPrefix}-${part}`), checksum };
}

function checksumOf(bytes: Buffer): string {
  return createHash('sha256').update(bytes).digest('hex');
}
