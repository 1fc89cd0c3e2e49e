/** Field manager of everything this service applies. */
export const fieldManager = 'cni-live-migration';

/** Namespace of our helpers in the cluster. */
export const helperNamespace = 'cni-live-migration';

/** Label on every object that this service made, and may therefore remove. */
export const ownedLabels = { 'app.kubernetes.io/managed-by': 'cni-live-migration' } as const;

/** Node annotation: this service cordoned the node, so it may uncordon it. */
export const cordonedAnnotation = 'cni-live-migration/cordoned';

/** Node annotation: UID of the agent pod that was there before the flip and must be replaced. */
export const replacedAgentAnnotation = 'cni-live-migration/replaced-agent';
