import type { PolicyVerdict } from '../../../model/policies.ts';
import type { CalicoPolicy } from './calico-policy.ts';
import { createCalicoEvaluator, type CalicoPolicies } from './calico.ts';
import { createCiliumEvaluator, type CiliumPolicies, type CiliumPolicy } from './cilium.ts';
import { buildDomain, type Domain, type PolicyCluster } from './domain.ts';
import { findDifferences, type Difference } from './differences.ts';
import { flowText, policyKey, type PolicyEvaluator, type Verdict } from './flows.ts';
import type { NetworkPolicy } from './kubernetes.ts';
import { findOversize } from './limits.ts';
import { PeerClasses } from './peer-classes.ts';
import { BadSelector } from './selectors.ts';
import { buildSupplement } from './supplement.ts';
import type { TranslationContext } from './translate-peers.ts';
import { denyForms, translatePolicy, type DenyForm, type Translation } from './translate.ts';

/** What is compared: all policies of a cluster, and the objects that they may select. */
export interface ComparisonInput {
  policies: CalicoPolicies;
  cluster: PolicyCluster;
}

/** Comparison of all policies of a cluster. */
export interface PolicyComparison {
  verdicts: PolicyVerdict[];
  /** Policies for Cilium in addition to Kubernetes' NetworkPolicies; only equivalent ones. */
  objects: CiliumPolicy[];
  /** Number of flows that were evaluated for both networks. */
  flows: number;
}

/** Default of the maximum number of flows: some seconds to some minutes. */
const defaultMaxFlows = 3_000_000;

/**
 * Translates Calico's policies and compares the verdicts of both networks, for every kind of flow that policies can
 * distinguish. A policy that is involved in a difference is not equal, and is not translated.
 */
export function evaluatePolicies(
  all: CalicoPolicies,
  cluster: PolicyCluster,
  maxFlows = defaultMaxFlows
): PolicyComparison {
  const leftOut = findLeftOut(all);
  const isIncluded = (policy: CalicoPolicy | NetworkPolicy): boolean => !leftOut.has(policy);
  const policies = { ...all, calico: all.calico.filter(isIncluded), kubernetes: all.kubernetes.filter(isIncluded) };
  const reasons = new Map([...leftOut].map(([policy, reason]) => [policyKey(policy), [reason]]));
  const comparison = new Comparison(policies, cluster, reasons, maxFlows);
  const differences = comparison.chooseDenyForms();
  comparison.excludeDiffering(differences);
  return comparison.result(all, differences);
}

/** The flows with different verdicts, for the current translations. */
interface Differences {
  differences: (Difference & { involvedPolicies: string[] })[];
  flows: number;
  complete: boolean;
}

/**
 * The policies of a cluster with their translations, which change until they are as close to the originals as possible.
 */
class Comparison {
  private readonly policies: CalicoPolicies;
  private readonly maxFlows: number;
  private readonly context: TranslationContext;
  private readonly domain: Domain;
  private readonly peerClasses: PeerClasses;
  private readonly calico: PolicyEvaluator;
  /** Additional policies that Kubernetes' NetworkPolicies need, by their keys. */
  private readonly supplements: ReadonlyMap<string, CiliumPolicy>;
  /** Form of the Deny rules of each Calico policy. */
  private readonly forms: Map<string, DenyForm>;
  /** Policies that are not translated, each with the reasons. */
  private readonly excluded: Map<string, string[]>;
  /** The first differing flows of each policy that is involved in a difference. */
  private readonly flowReasons = new Map<string, string[]>();

  /** @param leftOut policies that are not compared, each with the reason. */
  constructor(
    policies: CalicoPolicies,
    cluster: PolicyCluster,
    leftOut: ReadonlyMap<string, string[]>,
    maxFlows: number
  ) {
    this.policies = policies;
    this.maxFlows = maxFlows;
    this.context = { sets: policies.sets, podCidrs: cluster.podCidrs, nodeAddresses: cluster.nodeAddresses };
    this.domain = buildDomain(policies, cluster);
    this.peerClasses = new PeerClasses([...this.domain.pods, ...this.domain.outside]);
    this.supplements = new Map(
      policies.kubernetes.flatMap((policy) => {
        const object = buildSupplement(policy, this.context);
        return object === undefined ? [] : [[policyKey(policy), object] as const];
      })
    );
    this.forms = new Map(policies.calico.map((policy) => [policyKey(policy), 'all']));
    this.excluded = new Map(leftOut);
    for (const { original: of, problems } of this.translate()) if (problems.length > 0) this.excluded.set(of, problems);
    this.calico = createCalicoEvaluator(policies);
  }

  /**
   * Writes each policy's Deny rules in the form that leaves the fewest differences. The best form depends on the other
   * policies; the forms of each policy are tried separately.
   * @returns the remaining differences.
   */
  chooseDenyForms(): Differences {
    let best = this.computeDifferences();
    for (const policy of this.policies.calico) {
      const key = policyKey(policy);
      if (this.excluded.has(key) || !hasDenyRule(policy)) continue;
      if (!best.differences.some((difference) => difference.involvedPolicies.includes(key))) continue;
      for (const form of denyForms.slice(1)) {
        const before = this.forms.get(key) ?? 'all';
        this.forms.set(key, form);
        const next = this.computeDifferences();
        if (next.differences.length < best.differences.length) best = next;
        else this.forms.set(key, before);
      }
    }
    return best;
  }

  /** Excludes policies that differ in every form, so that the results of the others are independent of them. */
  excludeDiffering({ differences }: Differences): void {
    for (const difference of differences) {
      for (const key of difference.involvedPolicies) {
        const text = `${flowText(difference.flow)}: ${verdictText(difference.calico)} with Calico, ${verdictText(difference.cilium)} with Cilium`;
        const reasons = this.flowReasons.get(key) ?? [];
        if (reasons.length < 2) this.flowReasons.set(key, [...reasons, text]);
      }
    }
    const ownKeys = new Set(this.policies.calico.map(policyKey));
    for (const key of this.flowReasons.keys()) {
      if (ownKeys.has(key) && !this.excluded.has(key)) this.excluded.set(key, []);
    }
  }

  /**
   * Builds the result.
   * @param all all policies, including those that are not compared.
   */
  result(all: CalicoPolicies, { flows, complete }: Differences): PolicyComparison {
    const translations = this.translate();
    const byPolicy = new Map(translations.map((translation) => [translation.original, translation]));
    const shared = [
      ...this.domain.conditions,
      ...(complete ? [] : ['flows that were not evaluated have the same verdicts as similar flows that were']),
    ];
    return {
      flows,
      objects: this.listObjects(translations),
      verdicts: [
        ...all.calico.map((policy) => {
          const { conditions = [], objects = [] } = byPolicy.get(policyKey(policy)) ?? {};
          return this.buildVerdict(policyKey(policy), [...conditions, ...shared], objects);
        }),
        ...all.kubernetes.map((policy) => {
          const added = this.supplements.get(policyKey(policy));
          return this.buildVerdict(policyKey(policy), shared, added === undefined ? [] : [added]);
        }),
      ],
    };
  }

  private buildVerdict(policy: string, conditions: readonly string[], created: readonly CiliumPolicy[]): PolicyVerdict {
    const objects = created.map(policyKey);
    const reasons = [...(this.excluded.get(policy) ?? []), ...(this.flowReasons.get(policy) ?? [])];
    if (reasons.length > 0) return { policy, verdict: 'different', conditions: [], reasons, objects };
    const verdict = conditions.length > 0 ? 'equal-if' : 'equal';
    return { policy, verdict, conditions: [...conditions], reasons, objects };
  }

  /** Translates the policies that are not excluded, in the forms chosen so far. */
  private translate(): Translation[] {
    return this.policies.calico
      .filter((policy) => !this.excluded.has(policyKey(policy)))
      .map((policy) => translatePolicy(policy, this.context, this.forms.get(policyKey(policy)) ?? 'all'));
  }

  private listObjects(translations: readonly Translation[]): CiliumPolicy[] {
    return [...translations.flatMap(({ objects }) => objects), ...this.supplements.values()];
  }

  private computeDifferences(): Differences {
    const translations = this.translate();
    const cilium = createCiliumEvaluator({
      cilium: this.listObjects(translations),
      kubernetes: this.policies.kubernetes,
    } satisfies CiliumPolicies);
    const { differences, ...rest } = findDifferences(this.calico, cilium, this.domain, this.peerClasses, this.maxFlows);
    const originals = new Map(
      translations.flatMap(({ original: of, objects }) => objects.map((object) => [policyKey(object), of] as const))
    );
    return {
      ...rest,
      differences: differences.map((difference) => ({
        ...difference,
        involvedPolicies: findInvolvedPolicies(difference, this.policies, originals),
      })),
    };
  }
}

function hasDenyRule({ spec: { ingress = [], egress = [] } = {} }: CalicoPolicy): boolean {
  return [...ingress, ...egress].some(({ action }) => action === 'Deny');
}

/** Returns the policies that are not compared, each with the reason. */
function findLeftOut({ calico, kubernetes, sets }: CalicoPolicies): Map<CalicoPolicy | NetworkPolicy, string> {
  const reasons = [
    ...calico.map((policy) => [policy, findOversize(policy) ?? findSelectorError(policy, sets)] as const),
    ...kubernetes.map((policy) => [policy, findOversize(policy)] as const),
  ];
  return new Map(reasons.flatMap(([policy, reason]) => (reason === undefined ? [] : [[policy, reason] as const])));
}

/** Returns the error of a policy whose selector cannot be parsed. */
function findSelectorError(policy: CalicoPolicy, sets: CalicoPolicies['sets']): string | undefined {
  try {
    createCalicoEvaluator({ calico: [policy], kubernetes: [], sets });
    return undefined;
  } catch (error) {
    if (!(error instanceof BadSelector)) throw error;
    return error.message;
  }
}

function verdictText({ allowed, by }: Verdict): string {
  const verdict = allowed ? 'allowed' : 'denied';
  return by.length === 0 ? verdict : `${verdict} by ${by.slice(0, 3).join(', ')}`;
}

/**
 * Returns the policies to name for a difference: Calico's own policies involved in it, or else Kubernetes'.
 * @param originals keys of the translations, each with the key of its original policy.
 */
function findInvolvedPolicies(
  { calico, cilium }: Difference,
  { calico: calicoPolicies }: CalicoPolicies,
  originals: ReadonlyMap<string, string>
): string[] {
  const keys = new Set(calicoPolicies.map(policyKey));
  const named = calico.by.filter((key) => keys.has(key));
  const policies = [...new Set([...named, ...cilium.by.flatMap((key) => originals.get(key) ?? [])])];
  return policies.length > 0 ? policies : calico.by.length > 0 ? calico.by : cilium.by;
}
