/** Field manager of everything this service applies. */
export const fieldManager = 'cni-live-migration';

/** Namespace of Cilium, as its documentation has it. */
export const ciliumNamespace = 'kube-system';

/** Namespace of our helpers in the cluster. */
export const helperNamespace = 'cni-live-migration';

/** Label on every object that this service made, and may therefore remove. */
export const ownedLabels = { 'app.kubernetes.io/managed-by': 'cni-live-migration' } as const;

/** Whether this service made the object. */
export function isOurs(object: { metadata?: { labels?: Readonly<Record<string, string>> } } | undefined): boolean {
  return Object.entries(ownedLabels).every(([label, value]) => object?.metadata?.labels?.[label] === value);
}

/** Node annotation: this service cordoned the node, so it may uncordon it. */
export const cordonedAnnotation = 'cni-live-migration/cordoned';

/** Node annotation: for what the agent pod of the node has to be replaced, and its UID, such as `flip 1b2c…`. */
export const replacedAgentAnnotation = 'cni-live-migration/replaced-agent';

/** Node annotation: boot ID that the node had when it was flipped. */
export const bootAnnotation = 'cni-live-migration/boot-before';

/** Everything of ours on a node. */
export const nodeAnnotations = [cordonedAnnotation, replacedAgentAnnotation, bootAnnotation];

/** Annotation of our namespace: image that is on every node and has a shell, for the time when no agent runs any more. */
export const hostImageAnnotation = 'cni-live-migration/host-image';

/** Annotation of a node's page of the ledger: set anew, it has the node's probers write their page; images/prober/kube.go. */
export const askedAnnotation = 'cni-live-migration/asked-at';

/** Name of the Lease, in Cilium's namespace, that one migration holds. */
export const lockName = 'cni-live-migration';
