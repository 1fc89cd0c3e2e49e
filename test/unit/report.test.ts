import type { ReportData } from '../../client/report/data.ts';
import { htmlReport } from '../../client/report/html.ts';
import { markdownReport } from '../../client/report/markdown.ts';
import { withApiVersion } from '../../model/api-version.ts';
import type { Ledger, LedgerRow } from '../../model/ledger.ts';

const row = (more: Partial<LedgerRow>): LedgerRow => ({
  kind: 'pod-pod/small',
  from: 'canal',
  to: 'cilium',
  sent: 1_000,
  lost: 3,
  lostMs: 150,
  beyondBaselineMs: 150,
  longestMs: 100,
  resets: 0,
  translated: 0,
  p50Ms: 0.5,
  p99Ms: 2.5,
  ...more,
});

const hostile = '<script>alert(1)</script> | "x" & \'y\'';

const data: ReportData = {
  apiVersion: 'cni-migration/v1',
  status: {
    cluster: 'prod',
    phase: 'cleanup',
    maxConcurrency: 1,
    waves: 2,
    nodes: [
      {
        name: 'b',
        wave: 2,
        state: 'failed',
        failure: { type: 'DrainBlocked', message: hostile },
        startedAt: '2026-01-01T00:02:00.000Z',
      },
      {
        name: 'a',
        wave: 1,
        state: 'migrated',
        seconds: 40,
        startedAt: '2026-01-01T00:01:00.000Z',
        endedAt: '2026-01-01T00:01:40.000Z',
        approval: { by: hostile, reason: 'window', at: '2026-01-01T00:00:59.000Z' },
      },
    ],
    approvals: { plan: { by: 'ann', principal: 'alice', reason: '', at: '2026-01-01T00:00:10.000Z' } },
    timeline: [
      { phase: 'preflight', startedAt: '2026-01-01T00:00:00.000Z', seconds: 10 },
      { phase: 'migrate', startedAt: '2026-01-01T00:00:10.000Z' },
    ],
    notes: [hostile],
  },
  preflight: [{ check: 'kernel', verdict: 'warn', evidence: [hostile], ms: 1 }],
  ledger: { before: [row({ lost: 0, lostMs: 0, longestMs: 0 })], during: [row({}), row({ from: 'cilium' })] },
  workflowId: 'cni-migration/prod',
  outcome: 'FAILED',
  failure: hostile,
  calicoExport: ['kube-system/calico-export-0'],
  createdAt: '2026-01-01T00:03:00.000Z',
};

it('builds a self-contained page that escapes all texts', () => {
  const html = htmlReport(data);
  expect(html).not.toContain('<script');
  expect(html).not.toMatch(/(src|href)=/);
  expect(html).toContain('&lt;script&gt;alert(1)&lt;/script&gt;');
  // Every opened element is closed, in the right order.
  const open: string[] = [];
  for (const [, closing, name = '', attributes = ''] of html.matchAll(/<(\/?)([a-z][a-z0-9]*)([^>]*)>/g)) {
    if (['meta', 'rect'].includes(name) && (name === 'meta' || attributes.endsWith('/'))) continue;
    if (closing === '/') expect(open.pop()).toBe(name);
    else open.push(name);
  }
  expect(open).toEqual([]);
});

it('draws each wave at its time, and each kind of path with its losses', () => {
  const html = htmlReport(data);
  expect(html.indexOf('wave 1: a')).toBeLessThan(html.indexOf('wave 2: b'));
  expect(html).toContain('wave 1: a: migrated, 40.0 s');
  // An activity that has not ended lasts until the report.
  expect(html).toContain('wave 2: b: failed, 60.0 s');
  expect(html).toContain('pod-pod/small, during: 300');
  expect(html).toContain('pod-pod/small, before: 0');
});

it('contains the same as Markdown', () => {
  const text = markdownReport(data);
  expect(text).toContain('| plan | ann | alice |  | 2026-01-01T00:00:10.000Z |');
  expect(text).toContain('wave 1 a');
  expect(text).toContain('| pod-pod/small | 0 of 1000 |');
  expect(text).toContain('kube-system/calico-export-0');
  expect(text).not.toContain('<script');
  expect(text).toContain('\\| "x"');
});

it('can be built before the start', () => {
  const status = { ...data.status, nodes: [], timeline: [], notes: [] };
  // As the query returns it before the first measurement.
  const ledger = withApiVersion<Ledger>({});
  const early: ReportData = { ...data, status, ledger, preflight: [], calicoExport: [], failure: undefined };
  expect(htmlReport(early)).toContain('No measurements yet.');
  expect(markdownReport(early)).toContain('## Measurements\n\nNo measurements yet.');
  expect(markdownReport(early)).toContain('No checks have run.');
});
