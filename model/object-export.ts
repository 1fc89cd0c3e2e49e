/** An export of a user's objects, which were written to ConfigMaps before their CRDs were removed. */
export interface ObjectExport {
  /** ConfigMaps of the export, as namespace/name; empty when there was nothing to export. */
  configMaps: string[];
  /** Number of exported objects. */
  total: number;
  /** Kind and key of the first of them, at most {@link maxNamedObjects}. */
  objects: string[];
}

/** Maximum number of objects that an export names: it is part of a workflow's history. */
export const maxNamedObjects = 50;
