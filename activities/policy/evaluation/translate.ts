import { calicoTypes, subjectExpression, type CalicoPolicy, type CalicoRule } from './calico-policy.ts';
import type { CiliumPolicy, CiliumRule } from './cilium.ts';
import { policyKey, type Direction } from './flows.ts';
import { policyName } from './policy-name.ts';
import { BadSelector } from './selectors.ts';
import { translatePeer, type TranslationContext } from './translate-peers.ts';
import { translateSelector } from './translate-selectors.ts';
import { translateTraffic } from './translate-traffic.ts';
import { Untranslatable } from './untranslatable.ts';

/** Translation of a policy for Cilium. */
export interface Translation {
  /** The original policy: kind, namespace and name. */
  original: string;
  objects: CiliumPolicy[];
  /** Parts of the policy that have no equivalent in Cilium. */
  problems: string[];
  /** Conditions under which the translation is equivalent. */
  conditions: string[];
}

/**
 * Choices of the Deny rules that a translation writes out. Without them, default deny still denies what no rule allows.
 */
export const denyForms = ['all', 'not the last', 'none'] as const;
/** One of {@link denyForms}. */
export type DenyForm = (typeof denyForms)[number];

/**
 * Translates a Calico policy: a namespaced one to a CiliumNetworkPolicy, a global one to a
 * CiliumClusterwideNetworkPolicy.
 */
export function translatePolicy(policy: CalicoPolicy, context: TranslationContext, denies: DenyForm): Translation {
  const translation: Translation = {
    original: policyKey(policy),
    objects: [],
    problems: hostProblems(policy),
    conditions: [],
  };
  const { namespace, name = '' } = policy.metadata ?? {};
  const expression = () => translateSelector(subjectExpression(policy), 'its selector', namespace);
  const subjects = translateOrRecord(translation, expression) ?? [];
  const rules = Object.assign(
    {},
    ...calicoTypes(policy).map((type) =>
      translateDirection(policy, type === 'Ingress' ? 'ingress' : 'egress', context, denies, translation)
    )
  ) as DirectionRules;
  translation.conditions = [...new Set(translation.conditions)];
  translation.objects = subjects.map((endpointSelector, index) => ({
    apiVersion: 'cilium.io/v2',
    kind: namespace === undefined ? 'CiliumClusterwideNetworkPolicy' : 'CiliumNetworkPolicy',
    metadata: {
      name: policyName('calico', name.replace(/^default\./, ''), index),
      ...(namespace !== undefined && { namespace }),
    },
    spec: { description: `equivalent of the Calico policy ${translation.original}`, endpointSelector, ...rules },
  }));
  return translation;
}

type DirectionRules = Partial<Record<Direction | `${Direction}Deny`, CiliumRule[]>>;

/** Returns the policy's parts that apply to hosts or depend on an order of policies, which Cilium does not have. */
function hostProblems({ spec = {} }: CalicoPolicy): string[] {
  const fields = (['doNotTrack', 'preDNAT', 'applyOnForward'] as const).filter((field) => spec[field] === true);
  const problems = fields.map((field) => `${field} applies to hosts, not to pods`);
  const { tier = 'default' } = spec;
  return tier === 'default' ? problems : [...problems, `it is in the tier ${tier}`];
}

/** Returns the result of the work; undefined when Cilium has no equivalent. Adds the problem to the translation. */
function translateOrRecord<T>({ problems }: Translation, work: () => T): T | undefined {
  try {
    return work();
  } catch (error) {
    if (!(error instanceof Untranslatable) && !(error instanceof BadSelector)) throw error;
    problems.push(error.message);
    return undefined;
  }
}

function translateDirection(
  { metadata, spec }: CalicoPolicy,
  direction: Direction,
  context: TranslationContext,
  denies: DenyForm,
  translation: Translation
): DirectionRules {
  const rules = spec?.[direction] ?? [];
  const lastAllow = rules.findLastIndex(({ action }) => action === 'Allow');
  const allowed: CiliumRule[] = [];
  const denied: CiliumRule[] = [];
  rules.forEach((rule, index) => {
    if (rule.action === 'Log') return;
    if (rule.action === 'Deny' && (denies === 'none' || (denies === 'not the last' && index > lastAllow))) return;
    const translated = translateOrRecord(translation, () =>
      translateRule(rule, direction, metadata?.namespace, context, translation.conditions)
    );
    (rule.action === 'Deny' ? denied : allowed).push(...(translated ?? []));
  });
  return {
    // An empty rule matches nothing and enables default deny.
    [direction]: allowed.length > 0 ? allowed : [{}],
    ...(denied.length > 0 && { [`${direction}Deny`]: denied }),
  };
}

function translateRule(
  rule: CalicoRule,
  direction: Direction,
  namespace: string | undefined,
  context: TranslationContext,
  conditions: string[]
): CiliumRule[] {
  if (rule.action === 'Pass') throw new Untranslatable('a rule has the action Pass');
  if (rule.ipVersion === 6) return [];
  requireTranslatable(rule, direction);
  const traffic = translateTraffic(rule);
  const peer = (direction === 'ingress' ? rule.source : rule.destination) ?? {};
  return translatePeer(peer, direction, namespace, context, conditions).map((peers) => ({ ...peers, ...traffic }));
}

/**
 * Checks that a rule has an equivalent in Cilium, for any peer.
 * @throws Untranslatable when it has none.
 */
function requireTranslatable({ http, source = {}, destination = {} }: CalicoRule, direction: Direction): void {
  if (http !== undefined) throw new Untranslatable('a rule matches HTTP requests');
  if ((source.ports ?? source.notPorts ?? []).length > 0) throw new Untranslatable('a rule matches source ports');
  if (source.services !== undefined || destination.services !== undefined) {
    throw new Untranslatable('a rule selects services');
  }
  const { ports: _, notPorts: __, ...restrictions } = direction === 'ingress' ? destination : source;
  if (Object.keys(restrictions).length > 0)
    throw new Untranslatable('a rule restricts the pods of the policy to which it applies');
}
