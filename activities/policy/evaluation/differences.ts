import type { Domain } from './domain.ts';
import { directions, type Flow, type PolicyEvaluator, type Verdict } from './flows.ts';
import { portsKey, type PeerClasses } from './peer-classes.ts';

/** A flow with different verdicts on the two networks. */
export interface Difference {
  flow: Flow;
  calico: Verdict;
  cilium: Verdict;
}

/** Maximum number of differences that are collected; each names the policies involved in it. */
const maxDifferences = 2_000;

/** Flows with different verdicts. */
export interface FoundDifferences {
  differences: Difference[];
  /** Number of flows that were evaluated. */
  flows: number;
  /** False when the limit of flows was reached. */
  complete: boolean;
}

/**
 * Evaluates every flow of the domain for both networks. Of the flows that neither network can distinguish, evaluates
 * one.
 * @param maxFlows number of flows after which no further peers are evaluated.
 */
export function findDifferences(
  calico: PolicyEvaluator,
  cilium: PolicyEvaluator,
  { pods, traffic }: Domain,
  peerClasses: PeerClasses,
  maxFlows: number
): FoundDifferences {
  const differences: Difference[] = [];
  let flows = 0;
  const compareFlow = (flow: Flow): void => {
    flows++;
    const calicoVerdict = calico.evaluate(flow);
    const ciliumVerdict = cilium.evaluate(flow);
    if (calicoVerdict.allowed !== ciliumVerdict.allowed && differences.length < maxDifferences)
      differences.push({ flow, calico: calicoVerdict, cilium: ciliumVerdict });
  };
  const subjects = firstOfEach(pods, (pod) =>
    [calico.subjectKey(pod), cilium.subjectKey(pod), portsKey(pod)].join('|')
  );
  const ends = subjects.flatMap((subject) => directions.map((direction) => ({ subject, direction })));
  for (const { subject, direction } of ends) {
    const tests = [...calico.peerTests(subject, direction), ...cilium.peerTests(subject, direction)];
    for (const peer of peerClasses.listFirst(direction, tests)) {
      if (flows > maxFlows) return { differences, flows, complete: false };
      for (const trafficKind of traffic) compareFlow({ direction, subject, peer, traffic: trafficKind });
    }
  }
  return { differences, flows, complete: true };
}

/** Returns the first item of each key: existing ones precede hypothetical ones. */
function firstOfEach<T>(list: readonly T[], computeKey: (item: T) => string): T[] {
  const firstByKey = new Map<string, T>();
  for (const item of list) {
    const key = computeKey(item);
    if (!firstByKey.has(key)) firstByKey.set(key, item);
  }
  return [...firstByKey.values()];
}
