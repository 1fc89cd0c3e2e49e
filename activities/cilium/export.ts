import type { KubernetesObject } from '@kubernetes/client-node';
import { maxNamedObjects, type ObjectExport } from '../../model/object-export.ts';
import type { ClusterConnection } from '../kubernetes/connection.ts';
import { listDefinitions } from '../kubernetes/crds.ts';
import { isOurs } from '../kubernetes/names.ts';
import { listCustomObjects, readExport, unpackExport, writeExport } from '../kubernetes/object-export.ts';
import { objectKey } from '../kubernetes/object-key.ts';
import type { OnCluster } from '../kubernetes/on-cluster.ts';
import { ciliumIsOurs } from './flip.ts';

/** API group of Cilium's objects. */
export const ciliumGroup = 'cilium.io';

/** Prefix of the ConfigMaps' names; a number from 0 follows. */
const exportPrefix = 'cilium-export';

/** Kinds whose objects Cilium's agents and operator generate (cilium pkg/k8s/apis/cilium.io, v1.20). */
const generatedKinds = ['CiliumBGPNodeConfig', 'CiliumEndpoint', 'CiliumEndpointSlice', 'CiliumIdentity', 'CiliumNode'];

/** Creates the activity that exports the users' objects of Cilium. */
export function createCiliumExportActivities(onCluster: OnCluster) {
  return {
    /**
     * Writes the users' objects of Cilium, such as CiliumNetworkPolicies, into ConfigMaps and reads them back: a
     * rollback of the whole cluster removes them together with their CRDs. Leaves out the objects of this migration, and
     * those that Cilium generates. Does nothing where no migration installed Cilium.
     * @returns the ConfigMaps and the exported objects; both empty when there is nothing to export.
     * @throws ExportFailed when the data that was read back differs from what was written.
     */
    exportCilium: onCluster("export Cilium's objects", (connection) => exportUserObjects(connection)),
  };
}

/**
 * Exports the users' objects of Cilium. Objects of an earlier export stay in it when their CRD no longer exists or is
 * being removed: an interrupted removal that is repeated loses none.
 * @throws ExportFailed when the data that was read back differs from what was written.
 */
export async function exportUserObjects(connection: ClusterConnection): Promise<ObjectExport> {
  const nothing = { configMaps: [], total: 0, objects: [] };
  if (!(await ciliumIsOurs(connection))) return nothing;
  const definitions = (await listDefinitions(connection, ciliumGroup)).filter(
    ({ metadata }) => metadata?.deletionTimestamp === undefined
  );
  const userDefinitions = definitions.filter(({ spec }) => !generatedKinds.includes(spec.names.kind));
  const current = (await listCustomObjects(connection, userDefinitions)).filter(isUserObject);
  const existing = await readExport(connection, exportPrefix);
  const kinds = new Set(definitions.map(({ spec }) => spec.names.kind));
  const kept =
    existing === undefined ? [] : (await unpackExport(existing)).filter(({ kind }) => !kinds.has(kind ?? ''));
  const exported = [...current, ...kept];
  if (exported.length === 0) return nothing;
  return {
    configMaps: await writeExport(connection, exportPrefix, exported),
    total: exported.length,
    objects: exported.slice(0, maxNamedObjects).map((object) => `${object.kind ?? ''} ${objectKey(object)}`),
  };
}

/** Returns true for an object that neither this service nor a controller created. */
function isUserObject(object: KubernetesObject): boolean {
  const isControlled = object.metadata?.ownerReferences?.some(({ controller }) => controller === true) === true;
  return !isOurs(object) && !isControlled;
}
