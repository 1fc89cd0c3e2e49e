import type { PolicyVerdict } from '../../../model/policies.ts';
import type { CalicoPolicy } from './calico-policy.ts';
import { createCalicoEvaluator, type CalicoPolicies } from './calico.ts';
import { createCiliumEvaluator, type CiliumPolicies, type CiliumPolicy } from './cilium.ts';
import { domainOf, type Domain, type PolicyCluster } from './domain.ts';
import { directions, flowText, policyKey, type Flow, type PolicyEvaluator, type Verdict, type Peer } from './flows.ts';
import { BadSelector } from './selectors.ts';
import { buildSupplement } from './supplement.ts';
import type { TranslationContext } from './translate-peers.ts';
import { denyForms, translatePolicy, type DenyForm, type Translation } from './translate.ts';

/** A flow with different verdicts on the two networks. */
export interface Difference {
  flow: Flow;
  calico: Verdict;
  cilium: Verdict;
}

/** Comparison of all policies of a cluster. */
export interface PolicyComparison {
  verdicts: PolicyVerdict[];
  /** Policies for Cilium in addition to Kubernetes' NetworkPolicies; only equivalent ones. */
  objects: CiliumPolicy[];
  /** Number of flows that were evaluated for both networks. */
  flows: number;
}

/** Maximum number of differences that are collected; each names the policies involved in it. */
const maxDifferences = 2_000;

/** Number of flows after which no further pods are evaluated; the verdicts then say so. */
const maxFlows = 3_000_000;

/**
 * Translates Calico's policies and compares the verdicts of both networks, for every kind of flow that policies can
 * distinguish. A policy that is involved in a difference is not equal, and is not translated.
 */
export function comparePolicies(
  all: CalicoPolicies,
  cluster: PolicyCluster,
  cidrMatchesNodes: boolean
): PolicyComparison {
  const unreadable = new Map(all.own.flatMap((policy) => unreadableOf(policy, all.sets)));
  const policies = { ...all, own: all.own.filter((policy) => !unreadable.has(policyKey(policy))) };
  const comparison = new Comparison(policies, cluster, cidrMatchesNodes, unreadable);
  const differences = comparison.chooseDenyForms();
  comparison.setAside(differences);
  return comparison.result(all.own, differences);
}

/** The flows with different verdicts, for the current translations. */
interface Differences {
  found: (Difference & { culprits: string[] })[];
  flows: number;
  complete: boolean;
}

/**
 * The policies of a cluster with their translations, which change until they are as close to the originals as possible.
 */
class Comparison {
  private readonly policies: CalicoPolicies;
  private readonly context: TranslationContext;
  private readonly domain: Domain;
  private readonly calico: PolicyEvaluator;
  private readonly cidrMatchesNodes: boolean;
  /** Additional policies that Kubernetes' NetworkPolicies need, by their keys. */
  private readonly supplements: ReadonlyMap<string, CiliumPolicy>;
  /** Form of the Deny rules of each Calico policy. */
  private readonly forms: Map<string, DenyForm>;
  /** Policies that are not translated, each with the reasons. */
  private readonly aside: Map<string, string[]>;
  /** The first differing flows of each policy that is involved in a difference. */
  private readonly flowReasons = new Map<string, string[]>();

  constructor(
    policies: CalicoPolicies,
    cluster: PolicyCluster,
    cidrMatchesNodes: boolean,
    unreadable: ReadonlyMap<string, string[]>
  ) {
    this.policies = policies;
    this.cidrMatchesNodes = cidrMatchesNodes;
    this.context = { sets: policies.sets, podCidrs: cluster.podCidrs, nodeAddresses: cluster.nodeAddresses };
    this.domain = domainOf(policies, cluster);
    this.supplements = new Map(
      policies.kubernetes.flatMap((policy) => {
        const object = buildSupplement(policy, this.context);
        return object === undefined ? [] : [[policyKey(policy), object] as const];
      })
    );
    this.forms = new Map(policies.own.map((policy) => [policyKey(policy), 'all']));
    this.aside = new Map(unreadable);
    for (const { of, problems } of this.translate()) if (problems.length > 0) this.aside.set(of, problems);
    this.calico = createCalicoEvaluator(policies);
  }

  /**
   * Writes each policy's Deny rules in the form that leaves the fewest differences. The best form depends on the other
   * policies; the forms of each policy are tried separately.
   * @returns the remaining differences.
   */
  chooseDenyForms(): Differences {
    let now = this.differences();
    for (const policy of this.policies.own) {
      const key = policyKey(policy);
      if (this.aside.has(key) || !hasDenyRule(policy)) continue;
      if (!now.found.some((one) => one.culprits.includes(key))) continue;
      for (const form of denyForms.slice(1)) {
        const before = this.forms.get(key) ?? 'all';
        this.forms.set(key, form);
        const next = this.differences();
        if (next.found.length < now.found.length) now = next;
        else this.forms.set(key, before);
      }
    }
    return now;
  }

  /** Excludes policies that differ in every form, so that the results of the others are independent of them. */
  setAside({ found }: Differences): void {
    for (const one of found) {
      for (const key of one.culprits) {
        const text = `${flowText(one.flow)}: ${word(one.calico)} with Calico, ${word(one.cilium)} with Cilium`;
        const known = this.flowReasons.get(key) ?? [];
        if (known.length < 2) this.flowReasons.set(key, [...known, text]);
      }
    }
    const ownKeys = new Set(this.policies.own.map(policyKey));
    for (const key of this.flowReasons.keys()) {
      if (ownKeys.has(key) && !this.aside.has(key)) this.aside.set(key, []);
    }
  }

  /**
   * Builds the result.
   * @param own all of Calico's policies, including those that cannot be parsed.
   */
  result(own: readonly CalicoPolicy[], { flows, complete }: Differences): PolicyComparison {
    const translations = this.translate();
    const byPolicy = new Map(translations.map((one) => [one.of, one]));
    const shared = [
      ...this.domain.conditions,
      ...(complete ? [] : ['flows that were not tried are judged as those that were']),
    ];
    return {
      flows,
      objects: this.objectsOf(translations),
      verdicts: [
        ...own.map((policy) => {
          const { conditions = [], objects = [] } = byPolicy.get(policyKey(policy)) ?? {};
          return this.verdictOf(policyKey(policy), [...conditions, ...shared], objects);
        }),
        ...this.policies.kubernetes.map((policy) => {
          const added = this.supplements.get(policyKey(policy));
          return this.verdictOf(policyKey(policy), shared, added === undefined ? [] : [added]);
        }),
      ],
    };
  }

  private verdictOf(policy: string, conditions: readonly string[], made: readonly CiliumPolicy[]): PolicyVerdict {
    const objects = made.map(policyKey);
    const reasons = [...(this.aside.get(policy) ?? []), ...(this.flowReasons.get(policy) ?? [])];
    if (reasons.length > 0) return { policy, verdict: 'different', conditions: [], reasons, objects };
    const verdict = conditions.length > 0 ? 'equal-if' : 'equal';
    return { policy, verdict, conditions: [...conditions], reasons, objects };
  }

  /** Translates the policies that are not excluded, in the forms chosen so far. */
  private translate(): Translation[] {
    return this.policies.own
      .filter((policy) => !this.aside.has(policyKey(policy)))
      .map((policy) => translatePolicy(policy, this.context, this.forms.get(policyKey(policy)) ?? 'all'));
  }

  private objectsOf(translations: readonly Translation[]): CiliumPolicy[] {
    return [...translations.flatMap(({ objects }) => objects), ...this.supplements.values()];
  }

  private differences(): Differences {
    const translations = this.translate();
    const cilium = createCiliumEvaluator({
      own: this.objectsOf(translations),
      kubernetes: this.policies.kubernetes,
      cidrMatchesNodes: this.cidrMatchesNodes,
    } satisfies CiliumPolicies);
    const { found, ...rest } = differ(this.calico, cilium, this.domain);
    const madeOf = new Map(
      translations.flatMap(({ of, objects }) => objects.map((object) => [policyKey(object), of] as const))
    );
    return { ...rest, found: found.map((one) => ({ ...one, culprits: culprits(one, this.policies, madeOf) })) };
  }
}

function hasDenyRule({ spec: { ingress = [], egress = [] } = {} }: CalicoPolicy): boolean {
  return [...ingress, ...egress].some(({ action }) => action === 'Deny');
}

/** Returns the policy with its error when Calico could not parse its selector either; such a policy is not enforced. */
function unreadableOf(policy: CalicoPolicy, sets: CalicoPolicies['sets']): [string, string[]][] {
  try {
    createCalicoEvaluator({ own: [policy], kubernetes: [], sets });
    return [];
  } catch (error) {
    if (!(error instanceof BadSelector)) throw error;
    return [[policyKey(policy), [error.message]]];
  }
}

function word({ allowed, by }: Verdict): string {
  const verdict = allowed ? 'allowed' : 'denied';
  return by.length === 0 ? verdict : `${verdict} by ${by.slice(0, 3).join(', ')}`;
}

/**
 * Returns the policies to name for a difference: Calico's own policies involved in it, or else Kubernetes'.
 * @param madeOf keys of the translations, each with the key of its original policy.
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

/**
 * Evaluates every flow of the domain for both networks. Of the flows that neither network can distinguish, evaluates
 * one.
 */
function differ(
  calico: PolicyEvaluator,
  cilium: PolicyEvaluator,
  { pods, outside, traffic }: Domain
): { found: Difference[]; flows: number; complete: boolean } {
  const all: Peer[] = [...pods, ...outside];
  const portsOf = (peer: Peer): string => (peer.kind === 'pod' ? JSON.stringify(peer.ports) : '');
  const found: Difference[] = [];
  let flows = 0;
  const attempt = (flow: Flow): void => {
    flows++;
    const left = calico.evaluate(flow);
    const right = cilium.evaluate(flow);
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

/** Returns the first item of each key: existing ones precede hypothetical ones. */
function distinct<T>(list: readonly T[], keyOf: (item: T) => string): T[] {
  const found = new Map<string, T>();
  for (const item of list) {
    const key = keyOf(item);
    if (!found.has(key)) found.set(key, item);
  }
  return [...found.values()];
}
