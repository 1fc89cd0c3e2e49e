import { ciliumNamespace, helperNamespace } from '../../activities/kubernetes/names.ts';

/** Kind of a write, as the API server names it. */
type Operation = 'CREATE' | 'UPDATE' | 'DELETE';

/** Rules on the worker's writes to some resources; each becomes a ValidatingAdmissionPolicy. Expressions are CEL. */
export interface AdmissionRules {
  /** Last part of the policy's name. */
  subject: string;
  matched: readonly { apiGroups: readonly string[]; resources: readonly string[]; operations: readonly Operation[] }[];
  /** Expressions by name, which those after them may use. */
  variables: Readonly<Record<string, string>>;
  validations: readonly {
    expression: string;
    /** What the worker may not do, as the inside of a CEL text: `change " + variables.name + "`. */
    message: string;
  }[];
  /**
   * True when the expressions use `params`, the ConfigMap of the images.
   * @default false
   */
  readsImages?: boolean;
}

/** All writes. */
export const writes = ['CREATE', 'UPDATE', 'DELETE'] as const;

/** Writes after which the object exists. */
export const creations = ['CREATE', 'UPDATE'] as const;

/** Beginnings of the names of Cilium's objects (Cilium's chart, 1.20). */
export const ciliumPrefixes = ['cilium', 'hubble-', 'clustermesh-', 'ztunnel-', 'standalone-dns-proxy'] as const;

/** Label of a namespace in which Canal is installed, when that is not kube-system. */
export const canalNamespaceLabel = 'cni-live-migration/canal';

/** Variables of most policies: the object, its name, its namespace, and whether Canal may be in it. */
export const commonVariables = {
  object: "request.operation == 'DELETE' ? oldObject : object",
  resource: 'request.resource.resource',
  name: "has(variables.object.metadata.name) ? variables.object.metadata.name : ''",
  where: "variables.resource != 'namespaces' && has(request.namespace) ? request.namespace : ''",
  location: "variables.resource + ' ' + (variables.where == '' ? '' : variables.where + '/') + variables.name",
  canalMayBeHere:
    `variables.where == '${ciliumNamespace}' || (namespaceObject != null && has(namespaceObject.metadata.labels) && ` +
    `'${canalNamespaceLabel}' in namespaceObject.metadata.labels)`,
} as const;

/** Returns a list in CEL. */
export function celList(texts: readonly string[]): string {
  return `[${texts.map((text) => `'${text}'`).join(', ')}]`;
}

/** Returns an expression: the name begins with one of the prefixes. */
export function beginsWithOne(name: string, prefixes: readonly string[]): string {
  return `${celList(prefixes)}.exists(prefix, ${name}.startsWith(prefix))`;
}

/** Names with which the worker writes objects into kube-system: Cilium's, our own, and the exports. */
export const systemPrefixes = [...ciliumPrefixes, helperNamespace, 'calico-export-'] as const;
