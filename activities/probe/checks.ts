import { contains } from '../../model/networks.ts';
import { helperNamespace } from '../kubernetes/names.ts';
import type { PodFacts } from '../kubernetes/pods.ts';
import { prober, proberPort } from '../helpers/prober-ports.ts';

/** A check for the prober to run; the fields are those of images/prober/check.go. */
export interface Check {
  name: string;
  kind: 'http' | 'reach' | 'udp' | 'dns-udp' | 'dns-tcp' | 'reverse';
  target: string;
  ownSource?: boolean;
}

/** Outcome of one check. */
export interface CheckResult {
  name: string;
  ok: boolean;
  ms: number;
  error?: string;
}

/**
 * Parses the termination message of a pod that ran checks.
 * @returns undefined when it is not a list of outcomes.
 */
export function parseCheckResults(message: string): CheckResult[] | undefined {
  try {
    const results: unknown = JSON.parse(message);
    return Array.isArray(results) && results.every((result) => isCheckResult(result)) ? results : undefined;
  } catch {
    return undefined;
  }
}

function isCheckResult(result: unknown): result is CheckResult {
  const { name, ok, ms, error } = (result ?? {}) as Partial<Record<keyof CheckResult, unknown>>;
  const hasError = error === undefined || typeof error === 'string';
  return typeof name === 'string' && typeof ok === 'boolean' && typeof ms === 'number' && hasError;
}

/** Maximum number of peers in each network: the outcome has to fit into a pod's termination message (4 KiB). */
const peersPerNetwork = 3;

/** Size of a large response, in bytes: many full-size packets, so that a wrong MTU is detected. */
const largeBytes = 100_000;

/** Returns the checks that a new pod on a node must pass, given the probers in the cluster. */
export function checksFor(probers: readonly PodFacts[], targetPodCidr: string): Check[] {
  const checks: Check[] = [
    { name: 'API server', kind: 'reach', target: 'https://kubernetes.default.svc/version' },
    { name: 'DNS over UDP', kind: 'dns-udp', target: 'kubernetes.default.svc' },
    { name: 'DNS over TCP', kind: 'dns-tcp', target: 'kubernetes.default.svc' },
    { name: 'service', kind: 'http', target: `http://${prober}.${helperNamespace}.svc:${proberPort}/echo` },
  ];
  for (const pod of selectProbers(probers, targetPodCidr)) {
    const peer = `${contains(targetPodCidr, pod.ip) ? 'Cilium' : 'Canal'} pod on ${pod.node}`;
    const address = `${pod.ip ?? ''}:${proberPort}`;
    checks.push({
      name: `${peer}, large`,
      kind: 'http',
      target: `http://${address}/echo?bytes=${largeBytes}`,
      ownSource: true,
    });
    checks.push({ name: `${peer}, UDP`, kind: 'udp', target: address });
    checks.push({ name: `${peer}, reverse`, kind: 'reverse', target: address });
  }
  return checks;
}

/** Returns the probers that these checks contact: some in each network. */
export function selectProbers(probers: readonly PodFacts[], targetPodCidr: string): PodFacts[] {
  const onTarget = (pod: PodFacts): boolean => contains(targetPodCidr, pod.ip);
  const reachable = probers.filter((pod) => pod.ip !== undefined && pod.deletion === undefined);
  return [
    ...reachable.filter(onTarget).slice(0, peersPerNetwork),
    ...reachable.filter((pod) => !onTarget(pod)).slice(0, peersPerNetwork),
  ];
}
