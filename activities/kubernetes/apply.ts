import { PatchStrategy, type KubernetesObject, type V1OwnerReference } from '@kubernetes/client-node';
import { requireAllowedImages } from './allowed-images.ts';
import type { ClusterConnection } from './connection.ts';
import { ifKnown, ifFound } from './errors.ts';
import { fieldManager } from './names.ts';
import { allPages } from './pagination.ts';

/** An object to apply or delete, with its name and kind. */
export interface NamedObject extends KubernetesObject {
  apiVersion: string;
  kind: string;
  metadata: {
    name: string;
    namespace?: string;
    labels?: Record<string, string>;
    annotations?: Record<string, string>;
    ownerReferences?: V1OwnerReference[];
  };
}

/**
 * Applies the object by server-side apply; takes over fields of other managers where they differ.
 * @throws InvalidInput when it starts pods with an image that the worker's file does not allow.
 */
export async function applyObject({ objects, images }: ClusterConnection, object: NamedObject): Promise<void> {
  requireAllowedImages(images, object);
  await objects.patch(object, undefined, undefined, fieldManager, true, PatchStrategy.ServerSideApply);
}

/**
 * Applies the object as a server-side dry run, admission included; nothing is persisted.
 * @throws InvalidInput when it starts pods with an image that the worker's file does not allow.
 */
export async function applyDry({ objects, images }: ClusterConnection, object: NamedObject): Promise<void> {
  requireAllowedImages(images, object);
  await objects.patch(object, undefined, 'All', fieldManager, true, PatchStrategy.ServerSideApply);
}

/**
 * Creates the object. An object of its name is an error.
 * @throws InvalidInput when it starts pods with an image that the worker's file does not allow.
 */
export async function createObject({ objects, images }: ClusterConnection, object: NamedObject): Promise<void> {
  requireAllowedImages(images, object);
  await objects.create(object, undefined, undefined, fieldManager);
}

/**
 * Creates the object as a server-side dry run, admission included; nothing is persisted.
 * @throws InvalidInput when it starts pods with an image that the worker's file does not allow.
 */
export async function createDry({ objects, images }: ClusterConnection, object: NamedObject): Promise<void> {
  requireAllowedImages(images, object);
  await objects.create(object, undefined, 'All', fieldManager);
}

/** Options of {@link deleteObject}. */
interface DeleteOptions {
  /**
   * True when the object itself has to exist until the objects that it owns are gone.
   * @default false
   */
  foreground?: boolean;
}

/** Deletes the object. A missing object or an unknown kind is not an error. */
export async function deleteObject(
  { objects }: ClusterConnection,
  object: NamedObject,
  { foreground = false }: DeleteOptions = {}
): Promise<void> {
  const propagation = foreground ? 'Foreground' : 'Background';
  await ifKnown(ifFound(objects.delete(object, undefined, undefined, undefined, undefined, propagation)));
}

/** Returns all objects of a kind; none where the cluster does not know the kind. */
export async function listKnown<T extends KubernetesObject>(
  { objects }: ClusterConnection,
  apiVersion: string,
  kind: string
): Promise<T[]> {
  const items = await allPages(({ limit, _continue }) => {
    const unused = [undefined, undefined, undefined, undefined, undefined, undefined] as const;
    return ifKnown(ifFound(objects.list<T>(apiVersion, kind, ...unused, limit, _continue)));
  });
  // Items of a list come without `apiVersion` and `kind`.
  return items.map((item) => ({ ...item, apiVersion, kind }));
}
