import { PatchStrategy, type KubernetesObject } from '@kubernetes/client-node';
import type { ClusterConnection } from './connection.ts';
import { ifFound } from './errors.ts';
import { fieldManager } from './names.ts';

/** An object to apply or delete: named, and of a known kind. */
export interface NamedObject extends KubernetesObject {
  apiVersion: string;
  kind: string;
  metadata: { name: string; namespace?: string; labels?: Record<string, string> };
}

/** Makes the object be as given, by server-side apply; fields of other managers are taken over where they differ. */
export async function applyObject({ objects }: ClusterConnection, object: NamedObject): Promise<void> {
  await objects.patch(object, undefined, undefined, fieldManager, true, PatchStrategy.ServerSideApply);
}

/** Deletes the object; one that is not there, or whose kind is not known, is no error. */
export async function deleteObject({ objects }: ClusterConnection, object: NamedObject): Promise<void> {
  await ifFound(objects.delete(object, undefined, undefined, undefined, undefined, 'Background'));
}
