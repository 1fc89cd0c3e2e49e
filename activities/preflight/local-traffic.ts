import type { V1Service } from '@kubernetes/client-node';
import { commonCidr, contains, neighbouringCidr, overlapping, type NamedNetwork } from '../../model/networks.ts';
import { objectKey } from '../kubernetes/object-key.ts';
import type { KubeProxyConfiguration } from './kube-proxy.ts';

/** Evaluation of how kube-proxy detects traffic from pods. */
export interface LocalTraffic {
  /**
   * `same`: pods on both networks are treated alike; `differs`: pods on Cilium are taken for clients outside the
   * cluster; `invalid`: kube-proxy refuses the configuration.
   */
  state: 'same' | 'differs' | 'invalid';
  /** Description, for evidence. */
  text: string;
}

/**
 * Evaluates whether kube-proxy takes pods of the new CIDR for pods.
 * @param podCidr CIDR of pods on Cilium.
 */
export function evaluateLocalTraffic(configuration: KubeProxyConfiguration, podCidr: string): LocalTraffic {
  const { detectLocalMode, clusterCidrs } = configuration;
  switch (detectLocalMode) {
    case 'ClusterCIDR':
      return evaluateClusterCidr(clusterCidrs, podCidr);
    case 'NodeCIDR':
      return {
        state: 'differs',
        text: 'detectLocalMode NodeCIDR means the podCIDR of each Node, which is never a range of Cilium',
      };
    case 'BridgeInterface':
    case 'InterfaceNamePrefix':
      return {
        state: 'differs',
        text: `detectLocalMode ${detectLocalMode} detects pods by an interface, and pods on Cilium have others (lxc*)`,
      };
    default:
      return { state: 'same', text: `detectLocalMode ${detectLocalMode} detects no pods` };
  }
}

function evaluateClusterCidr(clusterCidrs: readonly string[], podCidr: string): LocalTraffic {
  const text = clusterCidrs.join(',');
  const isV6 = (cidr: string): boolean => cidr.includes(':');
  const families = new Set(clusterCidrs.map(isV6));
  // kubernetes pkg/proxy/apis/config/validation, v1.36: one CIDR, or one of each family.
  if (clusterCidrs.length > families.size)
    return {
      state: 'invalid',
      text: `clusterCIDR ${text} has two CIDRs of one family, which kube-proxy refuses when it starts`,
    };
  if (clusterCidrs.filter((cidr) => !isV6(cidr)).length === 0)
    return { state: 'same', text: 'without an IPv4 clusterCIDR, kube-proxy detects no pods' };
  return clusterCidrs.some((cidr) => contains(cidr, podCidr))
    ? { state: 'same', text: `clusterCIDR ${text} contains ${podCidr}` }
    : { state: 'differs', text: `clusterCIDR ${text} does not contain ${podCidr}` };
}

/**
 * Returns the services that pods outside kube-proxy's clusterCIDR can only reach on nodes that run one of their pods,
 * with their addresses. For its own pods, kube-proxy treats these addresses as it treats the service's cluster IP
 * (kubernetes pkg/proxy/iptables, v1.36).
 */
export function nodeLocalServices(services: readonly V1Service[]): string[] {
  return services.flatMap((service) => {
    const { spec, status } = service;
    if (spec?.externalTrafficPolicy !== 'Local') return [];
    const addresses = [
      // kube-proxy leaves addresses with the mode Proxy to the load balancer.
      ...(status?.loadBalancer?.ingress ?? []).filter(({ ipMode }) => ipMode !== 'Proxy').map(({ ip }) => ip),
      ...(spec.externalIPs ?? []),
    ].filter((address) => address !== undefined && address !== '');
    const ports = (spec.ports ?? []).flatMap(({ nodePort }) => (nodePort === undefined ? [] : [nodePort]));
    const texts = [...addresses, ...(ports.length > 0 ? [`node port ${ports.join(', ')}`] : [])];
    return texts.length === 0 ? [] : [`${objectKey(service)} (${texts.join(', ')})`];
  });
}

/** What {@link localTrafficAdvice} considers. */
export interface AdviceInput {
  /** CIDR of pods on Canal. */
  oldCidr: string;
  /** CIDR of pods on Cilium. */
  podCidr: string;
  /** Networks and addresses that belong to no pod: a clusterCIDR must not contain them. */
  others: readonly NamedNetwork[];
  /** True when services depend on the detection, so that it must not be switched off. */
  needed: boolean;
}

/** Returns the change of kube-proxy's configuration that treats pods on both networks alike, and that it accepts. */
export function localTrafficAdvice({ oldCidr, podCidr, others, needed }: AdviceInput): string {
  const usable = (cidr: string | undefined): cidr is string =>
    cidr !== undefined && !cidr.endsWith('/0') && overlapping(cidr, others).length === 0;
  const common = commonCidr(oldCidr, podCidr);
  const neighbour = neighbouringCidr(oldCidr);
  const without = needed ? '' : ', or remove clusterCIDR';
  if (usable(common))
    return `In the configuration of kube-proxy, set detectLocalMode to ClusterCIDR and clusterCIDR to ${common}, which contains both pod CIDRs${without}; restart kube-proxy. It refuses two CIDRs of one family.`;
  const parent = neighbour === undefined ? undefined : commonCidr(oldCidr, neighbour);
  const example = usable(parent) ? `, such as ${neighbour} with clusterCIDR ${parent}` : '';
  return `No clusterCIDR can contain both ${oldCidr} and ${podCidr} without addresses of others. Choose a podCidr next to the old one${example}${without}; restart kube-proxy. It refuses two CIDRs of one family.`;
}
