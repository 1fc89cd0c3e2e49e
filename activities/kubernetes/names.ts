/** Field manager of everything this service applies. */
export const fieldManager = 'cni-live-migration';

/** Namespace of Cilium, as in its documentation. */
export const ciliumNamespace = 'kube-system';

/** Namespace that Cilium's chart creates for copies of Secrets. */
export const ciliumSecretsNamespace = 'cilium-secrets';

/** Namespace of our helpers in the cluster. */
export const helperNamespace = 'cni-live-migration';

/** Label on every object that this service creates, and may therefore remove. */
export const ownedLabels = { 'app.kubernetes.io/managed-by': 'cni-live-migration' } as const;

/** Returns true when this service created the object. */
export function isOurs(object: { metadata?: { labels?: Readonly<Record<string, string>> } } | undefined): boolean {
  return Object.entries(ownedLabels).every(([label, value]) => object?.metadata?.labels?.[label] === value);
}

/** Node annotation: this service cordoned the node, so it may uncordon it. */
export const cordonedAnnotation = 'cni-live-migration/cordoned';

/** Node annotation: purpose of the replacement of the node's agent pod, and the pod's UID, such as `flip 1b2c…`. */
export const replacedAgentAnnotation = 'cni-live-migration/replaced-agent';

/** Node annotation: the node's boot ID at the time of its flip. */
export const bootAnnotation = 'cni-live-migration/boot-before';

/** Node label: Canal's agent may run on the node. It is only used between the cutover and Canal's removal. */
export const sourceAgentLabel = 'cni-live-migration/source-agent';

/**
 * Annotation of Canal's DaemonSet while it is kept off new nodes: its update strategy before, as JSON
 * (activities/canal/node-restriction.ts).
 */
export const sourceUpdatesAnnotation = 'cni-live-migration/update-strategy-before';

/** All our annotations of a node. */
export const nodeAnnotations = [cordonedAnnotation, replacedAgentAnnotation, bootAnnotation];

/**
 * Name of the ConfigMap, in Cilium's namespace, that records which namespace is ours (namespace-record.ts). Only
 * administrators write there, while other users may be able to create namespaces.
 */
export const namespaceRecordName = 'cni-live-migration-namespace';

/**
 * Annotation of our namespace from its creation until its UID is recorded: the token of the record. With it, an attempt
 * that follows a lost connection recognizes the namespace.
 */
export const namespaceTokenAnnotation = 'cni-live-migration/namespace-token';

/**
 * Annotation of the ConfigMap with Cilium's CNI file: the folders of nodes that scripts work in, as JSON
 * (activities/canal/host-folders.ts).
 */
export const hostFoldersAnnotation = 'cni-live-migration/host-folders';

/**
 * Annotation of our namespace: the approval of Canal's removal, as JSON, written directly before the removal. From then
 * on, no run rolls anything back to Canal.
 */
export const noReturnAnnotation = 'cni-live-migration/point-of-no-return';

/**
 * Annotation of our namespace: the request of a rollback of all nodes, as JSON, written directly before its first change.
 * The namespace, and the annotation with it, is removed when the rollback is complete.
 */
export const rollbackBegunAnnotation = 'cni-live-migration/rollback-begun';

/**
 * Annotation of our namespace: the nodes without which a run has ended, as JSON (model/remaining-nodes.ts). The namespace
 * stays as long as it has this annotation.
 */
export const unfinishedAnnotation = 'cni-live-migration/unfinished';

/**
 * Annotation of a node's page of the ledger: when it changes, the node's probers write their page;
 * images/prober/kube.go.
 */
export const flushRequestedAnnotation = 'cni-live-migration/flush-requested-at';

/** Name of the Lease, in Cilium's namespace, that one migration holds. */
export const lockName = 'cni-live-migration';
