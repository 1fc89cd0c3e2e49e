import { planRelease } from '../../activities/helm/plan-release.ts';

const now = Date.parse('2026-01-01T12:00:00Z');
const at = (seconds: number): string => new Date(now - seconds * 1_000).toISOString();

it.each([
  ['nothing', [], { action: 'apply' }],
  ['a sound one', [['deployed', 5]], { action: 'compare' }],
  [
    'a failed upgrade',
    [
      ['deployed', 90],
      ['failed', 80],
    ],
    { action: 'apply' },
  ],
  [
    'an upgrade under way',
    [
      ['deployed', 90],
      ['pending-upgrade', 10],
    ],
    { action: 'wait', revision: 2 },
  ],
  [
    'an upgrade whose Helm died',
    [
      ['deployed', 900],
      ['pending-upgrade', 61],
    ],
    { action: 'forget', revision: 2 },
  ],
  ['an installation under way', [['pending-install', 5]], { action: 'wait', revision: 1 }],
  ['an installation whose Helm died', [['pending-install', 100]], { action: 'forget', revision: 1 }],
  [
    'a rollback whose Helm died',
    [
      ['deployed', 900],
      ['pending-rollback', 100],
    ],
    { action: 'forget', revision: 2 },
  ],
  ['a removal whose Helm died', [['uninstalling', 100]], { action: 'forget', revision: 1 }],
  ['one that was removed and kept', [['uninstalled', 5]], { action: 'apply' }],
] as const)('plans for %s', (_, history, expected) => {
  const revisions = history.map(([status, age], index) => ({ revision: index + 1, updated: at(age), status }));
  expect(planRelease(revisions, now)).toEqual(expected);
  expect(planRelease([...revisions].reverse(), now)).toEqual(expected);
});
