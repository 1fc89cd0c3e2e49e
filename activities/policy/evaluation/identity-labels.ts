/**
 * Patterns of pod labels that are not part of an identity, so that Cilium's policies cannot select by them
 * (pkg/labelsfilter/filter.go of v1.20; images/coexistence/labels.go implements the whole rule). Additions by the
 * chart's `labels` value are ignored here.
 */
const ignored = [
  /^io\.kubernetes/,
  /^kubernetes\.io/,
  /^statefulset\.kubernetes\.io\/pod-name/,
  /^apps\.kubernetes\.io\/pod-index/,
  /^batch\.kubernetes\.io\/(job-completion-index|controller-uid)/,
  /^.*beta\.kubernetes\.io/,
  /^k8s\.io/,
  /^pod-template-generation/,
  /^pod-template-hash/,
  /^controller-revision-hash/,
  /^controller-uid/,
  /^annotation/,
  /^etcd_node/,
  /^topology\.kubernetes\.io/,
];

/** Returns true when Cilium's policies can select pods by this label. */
export function isIdentityLabel(key: string): boolean {
  return !ignored.some((pattern) => pattern.test(key));
}
