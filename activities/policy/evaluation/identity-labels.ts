/**
 * Labels of pods that are not part of their identity, and so cannot be selected by policies of Cilium
 * (pkg/labelsfilter/filter.go of v1.20; images/coexistence/labels.go has the whole rule). What the chart's `labels` adds is not
 * looked at.
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

/** Whether Cilium's policies can select pods by a label of theirs. */
export function isIdentityLabel(key: string): boolean {
  return !ignored.some((pattern) => pattern.test(key));
}
