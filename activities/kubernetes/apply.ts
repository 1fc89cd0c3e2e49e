import { PatchStrategy, type KubernetesObject } from '@kubernetes/client-node';
import type { ClusterConnection } from './connection.ts';
import { ifKnown, ifFound } from './errors.ts';
import { fieldManager } from './names.ts';

/** An object to apply or delete: named, and of a known kind. */
export interface NamedObject extends KubernetesObject {
  apiVersion: string;
  kind: string;
  metadata: {
    name: string;
    namespace?: string;
    labels?: Record<string, string>;
    annotations?: Record<string, string>;
  };
}

/** Makes the object be as given, by server-side apply; fields of other managers are taken over where they differ. */
export async function applyObject({ objects }: ClusterConnection, object: NamedObject): Promise<void> {
  await objects.patch(object, undefined, undefined, fieldManager, true, PatchStrategy.ServerSideApply);
}

/** Deletes the object; one that is not there, or whose kind is not known, is no error. */
export async function deleteObject({ objects }: ClusterConnection, object: NamedObject): Promise<void> {
  await ifKnown(ifFound(objects.delete(object, undefined, undefined, undefined, undefined, 'Background')));
}

/** All objects of a kind; none where the cluster does not know the kind. */
export async function listKnown<T extends KubernetesObject>(
  { objects }: ClusterConnection,
  apiVersion: string,
  kind: string
): Promise<T[]> {
  const found: T[] = [];
  let next: string | undefined;
  do {
    const list = (limit: number, from?: string) =>
      objects.list<T>(
        apiVersion,
        kind,
        ...([undefined, undefined, undefined, undefined, undefined, undefined] as const),
        limit,
        from
      );
    const page = await ifKnown(ifFound(list(pageSize, next)));
    // Items of a list come without these two.
    found.push(...(page?.items ?? []).map((item) => ({ ...item, apiVersion, kind })));
    next = page?.metadata?._continue;
  } while (next !== undefined && next !== '');
  return found;
}

const pageSize = 500;
