import type { KubernetesObject, V1EndpointSlice } from '@kubernetes/client-node';
import { summarizeList } from '../../../model/summarize.ts';
import { block, pass, warn, worst, type PreflightCheck } from '../check.ts';
import { objectKey } from '../../kubernetes/object-key.ts';

interface Webhook {
  name: string;
  failurePolicy?: string;
  clientConfig?: { service?: { namespace: string; name: string } };
  rules?: { resources?: string[]; operations?: string[] }[];
}
type Configuration = KubernetesObject & { webhooks?: Webhook[] };

/** Checks that admission webhooks stay available while their pods move. */
export const webhooks: PreflightCheck = {
  ensures: 'Admission webhooks that fail closed are served by ready pods on at least two nodes.',
  verdicts:
    'Blocks when such a webhook admits pods and is ready on fewer than two nodes; warns when it admits only other objects.',
  fix: 'Run two replicas on different nodes with a PodDisruptionBudget, or set failurePolicy to Ignore for the duration of the migration.',
  rationale: 'While its only pod is evicted, no pod can be created, not even a replacement.',
  run: async ({ list }) => {
    const admission = 'admissionregistration.k8s.io/v1';
    const configurations = [
      ...(await list<Configuration>(admission, 'ValidatingWebhookConfiguration')),
      ...(await list<Configuration>(admission, 'MutatingWebhookConfiguration')),
    ];
    const closed = configurations.flatMap((configuration) =>
      (configuration.webhooks ?? [])
        .filter(({ failurePolicy, clientConfig }) => failurePolicy !== 'Ignore' && clientConfig?.service !== undefined)
        .map((webhook) => ({ webhook, owner: objectKey(configuration) }))
    );
    if (closed.length === 0) return pass('no webhook in the cluster fails closed');
    const slices = await list<V1EndpointSlice>('discovery.k8s.io/v1', 'EndpointSlice');
    const underReplicated = closed.flatMap(({ webhook, owner }) => {
      const { namespace = '', name = '' } = webhook.clientConfig?.service ?? {};
      const nodes = readyNodes(slices, namespace, name);
      if (nodes.size >= 2) return [];
      const text = `${owner}/${webhook.name} (service ${namespace}/${name}, ready on ${nodes.size} nodes)`;
      return [{ text, pods: webhook.rules?.some(({ resources = [] }) => resources.some(isPods)) === true }];
    });
    const [podWebhooks, otherWebhooks] = [
      underReplicated.filter(({ pods }) => pods),
      underReplicated.filter(({ pods }) => !pods),
    ];
    const texts = (entries: typeof underReplicated): string => summarizeList(entries.map(({ text }) => text));
    return worst(
      podWebhooks.length > 0
        ? block(`admit pods: ${texts(podWebhooks)}`)
        : pass(`${closed.length} webhooks fail closed, each ready on at least two nodes`),
      otherWebhooks.length > 0 ? warn(texts(otherWebhooks)) : pass()
    );
  },
};

function isPods(resource: string): boolean {
  return ['*', '*/*', 'pods', 'pods/*'].includes(resource);
}

/** Returns the nodes with ready pods of the service. */
function readyNodes(slices: readonly V1EndpointSlice[], namespace: string, service: string): Set<string> {
  const serviceSlices = slices.filter(
    ({ metadata }) => metadata?.namespace === namespace && metadata.labels?.['kubernetes.io/service-name'] === service
  );
  const ready = serviceSlices
    .flatMap(({ endpoints }) => endpoints ?? [])
    .filter(({ conditions }) => conditions?.ready !== false);
  return new Set(ready.map(({ nodeName = 'outside' }) => nodeName));
}
