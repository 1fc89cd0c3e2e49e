import type { PolicyVerdict } from '../../../model/policies.ts';
import { calicoJudge, policyKey, type CalicoPolicies, type CalicoPolicy } from './calico.ts';
import { ciliumJudge, type CiliumPolicies, type CiliumPolicy } from './cilium.ts';
import { domainOf, type Domain, type PolicyCluster } from './domain.ts';
import { directions, flowText, type Flow, type Judge, type Judgement, type Peer } from './flows.ts';
import { BadSelector } from './selectors.ts';
import { denyForms, supplement, translatePolicy, type DenyForm, type Translation } from './translate.ts';

/** A flow that the two networks judge differently. */
export interface Difference {
  flow: Flow;
  calico: Judgement;
  cilium: Judgement;
}

/** All policies of a cluster, compared. */
export interface PolicyComparison {
  verdicts: PolicyVerdict[];
  /** What Cilium is given beside Kubernetes' NetworkPolicies: only where it says the same. */
  objects: CiliumPolicy[];
  /** How many flows were judged by both. */
  flows: number;
}

/** More differing flows are not gathered: each names the policies that have a part in it. */
const maxDifferences = 2_000;

/** After so many flows no further pods' are judged, and the verdicts say so. */
const maxFlows = 3_000_000;

/**
 * Translates what Calico enforces and compares what both say, for every kind of flow that policies can tell apart. A policy
 * that has a part in a difference is not equal, and is not translated.
 */
export function comparePolicies(
  all: CalicoPolicies,
  cluster: PolicyCluster,
  cidrMatchesNodes: boolean
): PolicyComparison {
  const unreadable = new Map(all.own.flatMap((policy) => unreadableOf(policy, all.sets)));
  const policies = { ...all, own: all.own.filter((policy) => !unreadable.has(policyKey(policy))) };
  const context = { sets: policies.sets, podCidrs: cluster.podCidrs, nodeAddresses: cluster.nodeAddresses };
  const domain = domainOf(policies, cluster);
  const supplements = new Map(
    policies.kubernetes.flatMap((policy) => {
      const object = supplement(policy, context);
      return object === undefined ? [] : [[policyKey(policy), object] as const];
    })
  );
  const forms = new Map<string, DenyForm>(policies.own.map((policy) => [policyKey(policy), 'all']));
  const aside = new Map<string, string[]>(unreadable);
  const translated = (): Translation[] =>
    policies.own
      .filter((policy) => !aside.has(policyKey(policy)))
      .map((policy) => translatePolicy(policy, context, forms.get(policyKey(policy)) ?? 'all'));
  for (const { of, problems } of translated()) if (problems.length > 0) aside.set(of, problems);

  const judgeCilium = (list: readonly Translation[]): Judge => {
    const own = [...list.flatMap(({ objects }) => objects), ...supplements.values()];
    return ciliumJudge({ own, kubernetes: policies.kubernetes, cidrMatchesNodes } satisfies CiliumPolicies);
  };
  const calico = calicoJudge(policies);
  const differences = () => {
    const list = translated();
    const { found, ...rest } = differ(calico, judgeCilium(list), domain);
    const madeOf = new Map(list.flatMap(({ of, objects: made }) => made.map((object) => [policyKey(object), of])));
    return { ...rest, found: found.map((one) => ({ ...one, culprits: culprits(one, policies, madeOf) })) };
  };

  // How a policy's Deny rules are best written depends on the others; each is tried by itself.
  let now = differences();
  for (const policy of policies.own) {
    const key = policyKey(policy);
    const rules = [...(policy.spec?.ingress ?? []), ...(policy.spec?.egress ?? [])];
    if (aside.has(key) || !rules.some(({ action }) => action === 'Deny')) continue;
    if (!now.found.some((one) => one.culprits.includes(key))) continue;
    for (const form of denyForms.slice(1)) {
      const before = forms.get(key) ?? 'all';
      forms.set(key, form);
      const next = differences();
      if (next.found.length < now.found.length) now = next;
      else forms.set(key, before);
    }
  }
  // What differs although each was tried is set aside, so that the rest may be told from it.
  const flowReasons = new Map<string, string[]>();
  const blame = (key: string, one: Difference): void => {
    const text = `${flowText(one.flow)}: ${word(one.calico)} with Calico, ${word(one.cilium)} with Cilium`;
    const known = flowReasons.get(key) ?? [];
    if (known.length < 2) flowReasons.set(key, [...known, text]);
  };
  for (const one of now.found) for (const key of one.culprits) blame(key, one);
  const ownKeys = new Set(policies.own.map(policyKey));
  for (const key of flowReasons.keys()) if (ownKeys.has(key) && !aside.has(key)) aside.set(key, []);

  const list = translated();
  const objects = [...list.flatMap(({ objects: own }) => own), ...supplements.values()];
  const names = (some: readonly CiliumPolicy[]): string[] => some.map(policyKey);
  const shared = [
    ...domain.conditions,
    ...(now.complete ? [] : ['flows that were not tried are judged as those that were']),
  ];
  const verdictOf = (policy: string, conditions: readonly string[], made: readonly CiliumPolicy[]): PolicyVerdict => {
    const reasons = [...(aside.get(policy) ?? []), ...(flowReasons.get(policy) ?? [])];
    if (reasons.length > 0) return { policy, verdict: 'different', conditions: [], reasons, objects: names(made) };
    const needed = [...conditions, ...shared];
    return {
      policy,
      verdict: needed.length > 0 ? 'equal-if' : 'equal',
      conditions: needed,
      reasons,
      objects: names(made),
    };
  };
  const byPolicy = new Map(list.map((one) => [one.of, one]));
  return {
    flows: now.flows,
    objects,
    verdicts: [
      ...all.own.map((policy) => {
        const translation = byPolicy.get(policyKey(policy));
        return verdictOf(policyKey(policy), translation?.conditions ?? [], translation?.objects ?? []);
      }),
      ...policies.kubernetes.map((policy) => {
        const added = supplements.get(policyKey(policy));
        return verdictOf(policyKey(policy), [], added === undefined ? [] : [added]);
      }),
    ],
  };
}

/** A policy with a selector that Calico could not read either: it is not enforced. */
function unreadableOf(policy: CalicoPolicy, sets: CalicoPolicies['sets']): [string, string[]][] {
  try {
    calicoJudge({ own: [policy], kubernetes: [], sets });
    return [];
  } catch (error) {
    if (!(error instanceof BadSelector)) throw error;
    return [[policyKey(policy), [error.message]]];
  }
}

function word({ allowed, by }: Judgement): string {
  const verdict = allowed ? 'allowed' : 'denied';
  return by.length === 0 ? verdict : `${verdict} by ${by.slice(0, 3).join(', ')}`;
}

/**
 * Who is to be named for a difference: the policies of Calico's own that had a part, else Kubernetes'.
 * @param madeOf of what policy each translation is.
 */
function culprits(
  { calico, cilium }: Difference,
  { own }: CalicoPolicies,
  madeOf: ReadonlyMap<string, string>
): string[] {
  const keys = new Set(own.map(policyKey));
  const named = calico.by.filter((key) => keys.has(key));
  const found = [...new Set([...named, ...cilium.by.flatMap((key) => madeOf.get(key) ?? [])])];
  return found.length > 0 ? found : calico.by.length > 0 ? calico.by : cilium.by;
}

/** Judges every flow of the domain twice; of those that neither network can tell apart, one. */
function differ(
  calico: Judge,
  cilium: Judge,
  { pods, outside, traffic }: Domain
): { found: Difference[]; flows: number; complete: boolean } {
  const all: Peer[] = [...pods, ...outside];
  const portsOf = (peer: Peer): string => (peer.kind === 'pod' ? JSON.stringify(peer.ports) : '');
  const found: Difference[] = [];
  let flows = 0;
  const attempt = (flow: Flow): void => {
    flows++;
    const left = calico.judge(flow);
    const right = cilium.judge(flow);
    if (left.allowed !== right.allowed && found.length < maxDifferences)
      found.push({ flow, calico: left, cilium: right });
  };
  const subjects = distinct(pods, (pod) => [calico.subjectKey(pod), cilium.subjectKey(pod), portsOf(pod)].join('|'));
  for (const subject of subjects) {
    for (const direction of directions) {
      const peers = distinct(all, (peer) =>
        [
          peer.kind,
          peer.kind === 'node' && peer.own,
          calico.peerKey(subject, direction, peer),
          cilium.peerKey(subject, direction, peer),
          direction === 'egress' && portsOf(peer),
        ].join('|')
      );
      if (flows > maxFlows) return { found, flows, complete: false };
      for (const peer of peers) traffic.forEach((one) => attempt({ direction, subject, peer, traffic: one }));
    }
  }
  return { found, flows, complete: true };
}

/** The first of each key: those that there are come before those that may come. */
function distinct<T>(list: readonly T[], keyOf: (item: T) => string): T[] {
  const found = new Map<string, T>();
  for (const item of list) {
    const key = keyOf(item);
    if (!found.has(key)) found.set(key, item);
  }
  return [...found.values()];
}
