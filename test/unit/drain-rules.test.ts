import { budgetText, findBudgets, optionalSelectorMatches } from '../../activities/kubernetes/disruption-budgets.ts';
import {
  drainVerdict,
  describeTermination,
  type DrainRules,
  type DrainVerdict,
} from '../../activities/node/drain-rules.ts';
import type { PodFacts } from '../../activities/kubernetes/pods.ts';
import { podFacts } from '../support/pod-facts.ts';

const now = Date.parse('2026-01-01T12:00:00Z');
const ago = (seconds: number): string => new Date(now - seconds * 1_000).toISOString();

const rules: DrainRules = {
  to: 'cilium',
  targetPodCidr: '10.245.0.0/16',
  daemonSets: false,
  forcedPods: [],
  options: { mode: 'evict', timeoutSeconds: 60, deleteEmptyDirData: false, evictUnmanagedPods: false },
};
const rollback: Partial<DrainRules> = { to: 'canal' };
const recycle: Partial<DrainRules> = { daemonSets: true };
const consent = (options: Partial<DrainRules['options']>): Partial<DrainRules> => ({
  options: { ...rules.options, ...options },
});

const pod = podFacts('shop/web-1', { labels: { app: 'web', tier: 'front' }, createdAt: ago(600) });
const onCilium = { ip: '10.245.1.5' };
const daemon = { controller: 'DaemonSet' };
const deletion = { at: ago(-30) };

describe('drainVerdict', () => {
  it.each<[string, Partial<PodFacts>, Partial<DrainRules>, DrainVerdict['action']]>([
    ['a pod with a controller', {}, {}, 'evict'],
    ['one without an address yet, before the flip', { ip: undefined }, {}, 'evict'],
    ['a mirror pod', { mirror: true, controller: undefined }, {}, 'leave'],
    ['a finished pod', { finished: true, controller: 'Job' }, {}, 'leave'],
    ["one on the host's network", { hostNetwork: true }, recycle, 'leave'],
    ['one of a DaemonSet', daemon, {}, 'leave'],
    ['one of a DaemonSet, to be recycled', daemon, recycle, 'evict'],
    ['another one that is on the wrong network after the flip', {}, recycle, 'evict'],
    ['a DaemonSet pod with an emptyDir, to be recycled', { ...daemon, emptyDirs: ['x'] }, recycle, 'evict'],
    ['a DaemonSet pod on Cilium already', { ...daemon, ...onCilium }, recycle, 'leave'],
    ['one that is being wired, after the flip', { ip: undefined, createdAt: ago(2) }, recycle, 'wait'],
    ['one that has never been wired, after the flip', { ip: undefined }, recycle, 'leave'],
    [
      'a DaemonSet pod that Canal wired before the flip, and whose image is still pulled',
      { ...daemon, ip: undefined, annotations: { 'cni.projectcalico.org/podIP': '10.244.0.9/32' } },
      recycle,
      'evict',
    ],
    [
      'one whose image is still pulled on Cilium, in a rollback',
      { ip: undefined, annotations: { 'cni.projectcalico.org/podIP': '10.245.0.9/32' } },
      { ...rollback, ...recycle },
      'evict',
    ],
    ['one that is on Cilium already', onCilium, {}, 'leave'],
    ['one on Cilium, in a rollback', onCilium, rollback, 'evict'],
    ['one on Canal, in a rollback', {}, rollback, 'leave'],
    ['one without a controller', { controller: undefined }, {}, 'refuse'],
    ['one without a controller, by consent', { controller: undefined }, consent({ evictUnmanagedPods: true }), 'evict'],
    [
      'one without a controller, by name',
      { controller: undefined },
      consent({ evictUnmanagedPods: ['shop/web-1'] }),
      'evict',
    ],
    [
      'one without a controller, by prefix',
      { controller: undefined },
      consent({ evictUnmanagedPods: ['shop/web*'] }),
      'evict',
    ],
    [
      'one without a controller, of another namespace',
      { controller: undefined },
      consent({ evictUnmanagedPods: ['bank/*'] }),
      'refuse',
    ],
    ['one without a controller that ends anyway', { controller: undefined, deletion }, {}, 'evict'],
    ['one with emptyDir', { emptyDirs: ['cache'] }, {}, 'refuse'],
    ['one with emptyDir, by consent', { emptyDirs: ['cache'] }, consent({ deleteEmptyDirData: true }), 'evict'],
    [
      'one with emptyDir, by the other consent',
      { emptyDirs: ['cache'] },
      consent({ evictUnmanagedPods: true }),
      'refuse',
    ],
    ['one that a human named', { emptyDirs: ['cache'] }, { forcedPods: ['shop/web-1'] }, 'delete'],
    ['one that a human named, where it shall be already', onCilium, { forcedPods: ['shop/web-1'] }, 'leave'],
  ])('%s', (_, facts, more, action) => {
    expect(drainVerdict({ ...pod, ...facts }, { ...rules, ...more }, now)).toMatchObject({ action });
  });

  it('names the volumes and the consent', () => {
    expect(drainVerdict({ ...pod, emptyDirs: ['cache', 'tmp'] }, rules, now)).toEqual({
      action: 'refuse',
      reason: 'its emptyDir data (cache, tmp) would be lost; consent with drain.deleteEmptyDirData',
    });
  });
});

it.each<[string, Partial<PodFacts>, boolean, string | undefined, string]>([
  ['one that runs', {}, true, undefined, ''],
  ['one within its grace period', { deletion }, true, 'Terminating', 'by '],
  ['one just past it', { deletion: { at: ago(30) } }, true, 'Terminating', 'by '],
  ['one long past it', { deletion: { at: ago(61) } }, true, 'StuckTerminating', 'check its containers'],
  [
    'one that a finalizer holds',
    { deletion: { at: ago(61) }, finalizers: ['x.io/y'] },
    true,
    'StuckTerminating',
    'finalizers x.io/y',
  ],
  ['one on a dead node', { deletion: { at: ago(61) } }, false, 'StuckTerminating', 'its node is not Ready'],
])('describes the blocker of %s', (_, facts, nodeReady, kind, words) => {
  const ending = describeTermination({ ...pod, ...facts }, nodeReady, now);
  expect(ending?.kind).toBe(kind);
  expect(ending?.reason ?? '').toContain(words);
});

describe('disruption budgets', () => {
  it.each([
    ['none', undefined, false],
    ['an empty one', {}, true],
    ['labels that match', { matchLabels: { app: 'web' } }, true],
    ['labels that do not', { matchLabels: { app: 'web', tier: 'back' } }, false],
    ['In', { matchExpressions: [{ key: 'app', operator: 'In', values: ['api', 'web'] }] }, true],
    ['NotIn', { matchExpressions: [{ key: 'app', operator: 'NotIn', values: ['web'] }] }, false],
    ['NotIn, without the label', { matchExpressions: [{ key: 'x', operator: 'NotIn', values: ['web'] }] }, true],
    ['Exists', { matchExpressions: [{ key: 'tier', operator: 'Exists' }] }, true],
    ['DoesNotExist', { matchExpressions: [{ key: 'tier', operator: 'DoesNotExist' }] }, false],
    ['an operator of the future', { matchExpressions: [{ key: 'tier', operator: 'Gt' }] }, false],
  ])('selects as the API server does: %s', (_, selector, expected) => {
    expect(optionalSelectorMatches(selector, pod.labels)).toBe(expected);
  });

  it('returns those that select a pod, with what they allow', () => {
    const budget = {
      metadata: { name: 'web', namespace: 'shop' },
      spec: { selector: { matchLabels: { app: 'web' } } },
      status: { disruptionsAllowed: 0, currentHealthy: 3, desiredHealthy: 3, expectedPods: 3 },
    };
    const elsewhere = { ...budget, metadata: { name: 'web', namespace: 'bank' } };
    expect(findBudgets(pod, [elsewhere, budget])).toEqual([budget]);
    expect(budgetText(budget)).toBe('PodDisruptionBudget shop/web allows 0 disruptions (healthy pods: 3, required: 3)');
  });
});
