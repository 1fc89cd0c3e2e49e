import type { KubernetesObject } from '@kubernetes/client-node';
import type { ClusterConnection } from '../kubernetes/connection.ts';
import { listDefinitions } from '../kubernetes/crds.ts';
import { listCustomObjects, readExport, writeExport } from '../kubernetes/object-export.ts';
import type { OnCluster } from '../kubernetes/on-cluster.ts';
import { findCanal } from './detect.ts';

/** API group of Calico's objects. */
export const calicoGroup = 'crd.projectcalico.org';

/** Prefix of the ConfigMaps' names; a number from 0 follows. */
export const exportPrefix = 'calico-export';

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
      const existing = await readExport(connection, exportPrefix);
      if (existing !== undefined && (await findCanal(connection)) === undefined) return existing.names;
      const objects = await calicoObjects(connection);
      if (objects.length === 0) return existing?.names ?? [];
      return writeExport(connection, exportPrefix, objects);
    }),
  };
}

/** Returns true when a complete export exists. */
export async function isExported(connection: ClusterConnection): Promise<boolean> {
  return (await readExport(connection, exportPrefix)) !== undefined;
}

/** Returns all of Calico's objects, in the form in which a user would apply them. */
export async function calicoObjects(connection: ClusterConnection): Promise<KubernetesObject[]> {
  return listCustomObjects(connection, await listDefinitions(connection, calicoGroup));
}
