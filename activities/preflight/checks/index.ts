import type { CheckName } from '../../../model/preflight.ts';
import type { PreflightCheck } from '../check.ts';
import { addedPods } from './spare-capacity-added.ts';
import { autoscaler } from './autoscaler.ts';
import { backup } from './backup.ts';
import { calicoFeatures } from './calico-features.ts';
import { chart } from './chart.ts';
import { chartVersion } from './chart-version.ts';
import { ciliumLeftovers } from './cilium-leftovers.ts';
import { cniFolder } from './cni-folder.ts';
import { clusterDns } from './cluster-dns.ts';
import { disruptionBudgets } from './disruption-budgets.ts';
import { helperNamespaceOwner } from './helper-namespace.ts';
import { hostPorts } from './host-ports.ts';
import { ipFamily } from './ip-family.ts';
import { kernel } from './kernel.ts';
import { kubeProxy } from './kube-proxy.ts';
import { localData } from './local-data.ts';
import { mtu } from './mtu.ts';
import { networkPolicies } from './network-policies.ts';
import { nodeAddress } from './node-address.ts';
import { nodeHealth } from './node-health.ts';
import { oldPodCidr } from './old-pod-cidr.ts';
import { otherCni } from './other-cni.ts';
import { objectOwners } from './owners.ts';
import { packetFilter } from './packet-filter.ts';
import { permissions } from './permissions.ts';
import { podCidrCapacity } from './pod-cidr-capacity.ts';
import { podCidrOverlap } from './pod-cidr-overlap.ts';
import { rollouts } from './rollouts.ts';
import { rpFilter } from './rp-filter.ts';
import { serverDryRun } from './server-dry-run.ts';
import { sourceNetwork } from './source-network.ts';
import { spareCapacity } from './spare-capacity.ts';
import { tunnelPath } from './tunnel-path.ts';
import { tunnelPort } from './tunnel-port.ts';
import { unmanagedPods } from './unmanaged-pods.ts';
import { versionSkew } from './version-skew.ts';
import { webhooks } from './webhooks.ts';

/** All checks, by name. */
export const checks: Readonly<Record<CheckName, PreflightCheck>> = {
  'source-network': sourceNetwork,
  'calico-features': calicoFeatures,
  'node-address': nodeAddress,
  'ip-family': ipFamily,
  'pod-cidr-overlap': podCidrOverlap,
  'pod-cidr-capacity': podCidrCapacity,
  'tunnel-port': tunnelPort,
  'tunnel-path': tunnelPath,
  kernel,
  'rp-filter': rpFilter,
  mtu,
  'kube-proxy': kubeProxy,
  'packet-filter': packetFilter,
  'cni-folder': cniFolder,
  'cluster-dns': clusterDns,
  'node-health': nodeHealth,
  'version-skew': versionSkew,
  rollouts,
  'disruption-budgets': disruptionBudgets,
  'unmanaged-pods': unmanagedPods,
  'local-data': localData,
  'host-ports': hostPorts,
  'spare-capacity': spareCapacity,
  'added-pods': addedPods,
  webhooks,
  'other-cni': otherCni,
  'cilium-leftovers': ciliumLeftovers,
  owners: objectOwners,
  autoscaler,
  'network-policies': networkPolicies,
  'old-pod-cidr': oldPodCidr,
  backup,
  permissions,
  'helper-namespace': helperNamespaceOwner,
  chart,
  'chart-version': chartVersion,
  'server-dry-run': serverDryRun,
};
