import type { V1Node } from '@kubernetes/client-node';
import type { ReportData } from '../../client/report/data.ts';
import { htmlReport } from '../../client/report/html.ts';
import { markdownReport } from '../../client/report/markdown.ts';
import { statusText } from '../../client/cli/text.ts';
import { withApiVersion } from '../../model/api-version.ts';
import { applyMessage } from '../../model/decisions.ts';
import { noDecisions } from '../../model/message-context.ts';
import { statusMarkdown } from '../../model/markdown/status.ts';
import { copyContext } from '../../model/message-copy.ts';
import { initialState } from '../../model/migration-state.ts';
import { flipLabel } from '../../model/names.ts';
import {
  formatRecord,
  maxRemainingNodes,
  parseRecord,
  remainingText,
  unreadableRecord,
  withWork,
  withoutWork,
  type RemainingNode,
} from '../../model/remaining-nodes.ts';
import type { MigrationStatus } from '../../model/status.ts';
import { isMigratedAndSilent } from '../../activities/probe/before-removal.ts';

const since = '2026-01-01T00:00:00.000Z';
const skipped = { by: 'ann', reason: 'no power', at: since };
const remaining: RemainingNode[] = [{ node: 'a', since, work: ['clean-canal'], skipped }];

it('collects the work on a node in the order in which it is done', () => {
  expect(withWork(remaining, ['a', 'b'], ['restart-agent'], 'later')).toEqual([
    { node: 'a', since, work: ['restart-agent', 'clean-canal'], skipped },
    { node: 'b', since: 'later', work: ['restart-agent'] },
  ]);
});

it('forgets a node once nothing remains to be done', () => {
  const more = withWork(remaining, ['a'], ['restart-agent'], since);

  expect(withoutWork(more, 'a', ['restart-agent'])).toEqual(remaining);
  expect(withoutWork(more, 'b', ['restart-agent'])).toEqual(more);
  expect(withoutWork(more, 'a', ['restart-agent', 'clean-canal'])).toEqual([]);
});

it('describes what remains', () => {
  expect(remaining.map(remainingText)).toEqual([
    'a: remove what is left of Canal (since 2026-01-01T00:00:00.000Z; skipped by ann)',
  ]);
});

describe('the record in the cluster', () => {
  it('contains the nodes that a run may end without', () => {
    const nodes: RemainingNode[] = [...remaining, { node: 'b', since, work: ['clean-canal'] }];

    expect(parseRecord(formatRecord({ onlyNodes: true, nodes }))).toEqual({ onlyNodes: true, nodes: remaining });
  });

  it('fits into the annotations of an object with the longest names and texts', () => {
    const node = 'n'.repeat(253);
    const text = '\u0001'.repeat(500);
    const work = ['restart-agent', 'clean-canal', 'clean-cilium'] as const;
    const entry: RemainingNode = { node, since, work: [...work], skipped: { by: text, reason: text, at: since } };

    const record = formatRecord({ onlyNodes: false, nodes: Array.from({ length: maxRemainingNodes }, () => entry) });

    expect(Buffer.byteLength(record)).toBeLessThan(200_000);
    expect(parseRecord(record).nodes).toHaveLength(maxRemainingNodes);
  });

  it.each<[string, unknown]>([
    ['something else', 'text'],
    ['an unknown kind of work', { onlyNodes: true, nodes: [{ ...remaining[0], work: ['reboot'] }] }],
    ['a node that no Kubernetes object can be', { onlyNodes: true, nodes: [{ ...remaining[0], node: 'a; reboot' }] }],
    ['a node without a decision', { onlyNodes: true, nodes: [{ ...remaining[0], skipped: undefined }] }],
    ['too many nodes', { onlyNodes: true, nodes: Array.from({ length: 101 }, () => remaining[0]) }],
  ])('is not used when it contains %s: everything is done again', (_, content) => {
    expect(parseRecord(JSON.stringify(content))).toEqual(unreadableRecord);
  });

  it('is not used when it is not valid JSON', () => {
    expect(parseRecord('{')).toEqual(unreadableRecord);
    expect(parseRecord(' '.repeat(300_000))).toEqual(unreadableRecord);
  });
});

describe('a node does not keep Canal from being removed', () => {
  const nowMs = Date.parse('2026-01-02T00:00:00.000Z');
  const node = (status: string, { labels = { [flipLabel]: 'true' }, annotations = {}, seconds = 90 } = {}): V1Node => ({
    metadata: { name: 'a', labels, annotations },
    status: { conditions: [{ type: 'Ready', status, lastTransitionTime: new Date(nowMs - seconds * 1_000) }] },
  });

  it.each<[string, boolean, V1Node, string[]]>([
    ['when it is migrated and its kubelet is silent', true, node('Unknown'), ['b']],
    ['unless one of its pods is on Canal', false, node('Unknown'), ['a']],
    ['unless its kubelet reports', false, node('False'), []],
    ['unless it is Ready', false, node('True'), []],
    ['unless it is silent for less than a minute', false, node('Unknown', { seconds: 59 }), []],
    ['unless it was not migrated', false, node('Unknown', { labels: {} as { [flipLabel]: string } }), []],
    [
      'unless its migration has not ended',
      false,
      node('Unknown', { annotations: { 'cni-live-migration/cordoned': 'true' } }),
      [],
    ],
  ])('%s', (_, expected, one, onSource) => {
    expect(isMigratedAndSilent(one, new Set(onSource), nowMs)).toBe(expected);
  });
});

describe('a remaining node', () => {
  const hostile = '<b> | *x*';
  const status: MigrationStatus = {
    ...initialState().status,
    cluster: 'prod',
    phase: 'done',
    remaining: [{ ...remaining[0]!, skipped: { ...skipped, by: hostile } }],
  };
  const what = 'remove what is left of Canal';

  it('is shown in the Web UI, in a terminal, and in the reports', () => {
    const { ledger } = initialState();
    const report = { status, preflight: [], ledger, workflowId: 'w', outcome: 'COMPLETED', calicoExport: [] };
    const data: ReportData = withApiVersion({ ...report, createdAt: since });

    const texts = [
      statusMarkdown(status, { workflowId: 'w', namespace: 'default' }),
      statusText(status, { columns: 80, color: false }).replaceAll(/\s+/g, ' '),
      markdownReport(data),
      htmlReport(data),
    ];

    for (const text of texts) {
      expect(text).toContain('Remaining nodes');
      expect(text).toContain(what);
    }
    expect(texts[0]).not.toContain('by <b> | *x*');
    expect(texts[3]).not.toContain('<b> |');
  });

  it('is not changed by a message that is only validated', () => {
    const waiting: MigrationStatus = {
      ...status,
      phase: 'cleanup',
      remaining: [{ node: 'a', since, work: ['clean-canal'] }],
    };

    const outcome = applyMessage(
      'skip',
      { node: 'a' },
      copyContext({ decisions: noDecisions(), status: waiting }),
      since
    );

    expect(outcome).toHaveProperty('done');
    expect(waiting.remaining?.[0]).not.toHaveProperty('skipped');
  });
});
