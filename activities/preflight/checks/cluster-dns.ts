import { summarizeList } from '../../../model/summarize.ts';
import { block, pass, warn, type PreflightCheck } from '../check.ts';

/** Checks that the cluster's DNS stays available while its pods move. */
export const clusterDns: PreflightCheck = {
  ensures: 'The DNS of the cluster has at least two ready pods on different nodes.',
  verdicts: 'Blocks when no pod is ready; warns when the ready pods are on one node.',
  fix: 'Give CoreDNS two replicas, a PodDisruptionBudget and a topology spread.',
  rationale: 'All pods resolve names while the DNS pods move to the other network.',
  run: async ({ pods }) => {
    const all = (await pods()).filter(({ labels, finished }) => labels['k8s-app'] === 'kube-dns' && !finished);
    const ready = all.filter((pod) => pod.ready);
    const text = summarizeList(
      all.map(({ key, node, ready: up }) => `${key} on ${node || 'no node'}${up ? '' : ' (not ready)'}`)
    );
    if (ready.length === 0)
      return block(all.length === 0 ? 'no pod has the label k8s-app=kube-dns' : `not ready: ${text}`);
    const nodes = new Set(ready.map(({ node }) => node));
    return nodes.size < 2 ? warn(`ready on ${nodes.size} node: ${text}`) : pass(text);
  },
};
