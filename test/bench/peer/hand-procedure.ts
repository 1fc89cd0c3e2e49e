import type { Lab } from '../../../lab/cluster/lab.ts';
import { labMigrationRequest, targetPodCidr } from '../../../lab/migration-request.ts';
import { run } from '../../../lab/process.ts';

/** A step of a migration, and its end (ms since the start of the migration). */
export interface ProcedureStep {
  step: string;
  endMs: number;
}

/**
 * Returns the Helm values with which Cilium is installed: those of its guide to migrating a cluster
 * (Documentation/installation/k8s-install-migration.rst of v1.20.2), and those that the lab requires.
 */
function guideValues(lab: Lab): object {
  const { values = {} } = labMigrationRequest(lab);
  const operator = values['operator'] as object;
  return {
    ...values,
    operator: { ...operator, unmanagedPodWatcher: { restart: false } },
    routingMode: 'tunnel',
    tunnelProtocol: 'vxlan',
    tunnelPort: 8473,
    cni: { customConf: true, uninstall: false },
    ipam: { mode: 'cluster-pool', operator: { clusterPoolIPv4PodCIDRList: [targetPodCidr] } },
    policyEnforcementMode: 'never',
    bpf: { hostLegacyRouting: true },
    kubeProxyReplacement: 'false',
  };
}

/** Names as in the guide. */
const nodeConfig = {
  apiVersion: 'cilium.io/v2',
  kind: 'CiliumNodeConfig',
  metadata: { namespace: 'kube-system', name: 'cilium-default' },
  spec: {
    nodeSelector: { matchLabels: { 'io.cilium.migration/cilium-default': 'true' } },
    defaults: {
      'write-cni-conf-when-ready': '/host/etc/cni/net.d/05-cilium.conflist',
      'custom-cni-conf': 'false',
      'cni-chaining-mode': 'none',
      'cni-exclusive': 'true',
    },
  },
};

/**
 * Migrates a lab as Cilium's guide describes: by hand, one node after the other, with kubectl and Helm. Pods that a
 * drain leaves are deleted where the guide reboots the node. No wait is longer than that of a person who watches.
 */
export async function migrateByHand(lab: Lab): Promise<ProcedureStep[]> {
  const { kubectl, catalogue, layout } = lab;
  const begin = Date.now();
  const steps: ProcedureStep[] = [];
  const recordStep = (step: string): void => void steps.push({ step, endMs: Date.now() - begin });
  const values = guideValues(lab);
  const helm = (changes: object): Promise<string> =>
    run(
      catalogue.bin('helm'),
      [
        ...['upgrade', '--install', 'cilium', catalogue.ciliumChart, '--namespace', 'kube-system'],
        ...['--kubeconfig', layout.kubeconfig, '--values', '-'],
      ],
      { input: JSON.stringify({ ...values, ...changes }) }
    );
  const rolledOut = (): Promise<string> =>
    kubectl('-n', 'kube-system', 'rollout', 'status', 'daemonset/cilium', '--timeout=300s');

  await helm({});
  await rolledOut();
  await applyText(lab, nodeConfig);
  recordStep('install');
  for (const node of layout.nodeNames) {
    await kubectl('cordon', node);
    await kubectl('drain', node, '--ignore-daemonsets', '--delete-emptydir-data', '--timeout=600s');
    await kubectl('label', 'node', node, 'io.cilium.migration/cilium-default=true');
    const onNode = `spec.nodeName=${node}`;
    await kubectl('-n', 'kube-system', 'delete', 'pod', '--field-selector', onNode, '-l', 'k8s-app=cilium');
    await rolledOut();
    await Promise.all(
      (await podsOffHostNetwork(lab, node)).map(([namespace, name]) => kubectl('-n', namespace, 'delete', 'pod', name))
    );
    await kubectl('uncordon', node);
    recordStep(node);
  }
  await helm({
    operator: { ...(values as { operator: object }).operator, unmanagedPodWatcher: { restart: true } },
    cni: { customConf: false, uninstall: false },
    policyEnforcementMode: 'default',
  });
  await kubectl('-n', 'kube-system', 'rollout', 'restart', 'daemonset/cilium');
  await rolledOut();
  recordStep('final values');
  await kubectl('-n', 'kube-system', 'delete', 'ciliumnodeconfig', 'cilium-default');
  await kubectl('-n', 'kube-system', 'delete', 'daemonset', 'canal');
  recordStep('Canal removed');
  return steps;
}

async function applyText({ catalogue, layout }: Lab, object: object): Promise<void> {
  await run(catalogue.bin('kubectl'), ['--kubeconfig', layout.kubeconfig, 'apply', '-f', '-'], {
    input: JSON.stringify(object),
  });
}

async function podsOffHostNetwork(lab: Lab, node: string): Promise<[namespace: string, name: string][]> {
  interface Pod {
    metadata: { namespace: string; name: string };
    spec: { hostNetwork?: boolean };
  }
  const text = await lab.kubectl('get', 'pods', '-A', '--field-selector', `spec.nodeName=${node}`, '-o', 'json');
  return (JSON.parse(text) as { items: Pod[] }).items
    .filter(({ spec }) => spec.hostNetwork !== true)
    .map(({ metadata }) => [metadata.namespace, metadata.name]);
}
