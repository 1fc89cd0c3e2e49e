import { ledgerStages, type LedgerStage } from '../../model/ledger.ts';
import { workText } from '../../model/remaining-nodes.ts';
import type { PolicyReport } from '../../model/policies.ts';
import { withoutControls } from '../../model/printable.ts';
import { decisions, nodeBars, pathLines, phaseBars, type Bar, type PathLine, type ReportData } from './data.ts';

/** Colours that are also distinguishable with colour blindness. */
const stateColours: Readonly<Record<string, string>> = {
  phase: '#4477aa',
  migrated: '#228833',
  failed: '#ee6677',
  'rolled-back': '#aa3377',
  migrating: '#66ccee',
};
const stageColours: Readonly<Record<LedgerStage, string>> = { before: '#bbbbbb', during: '#ee6677', after: '#228833' };
const otherColour = '#999999';

const width = 900;
const labelWidth = 240;
const rowHeight = 22;

/** Renders the report of a migration as one self-contained HTML file: no scripts, fonts or network requests. */
export function htmlReport(data: ReportData): string {
  const { status, ledger, workflowId, outcome, failure, calicoExport, createdAt } = data;
  const title = `Migration of ${status.cluster} from Canal to Cilium`;
  const parts = [
    `<h1>${esc(title)}</h1>`,
    `<p>Workflow <code>${esc(workflowId)}</code>: <b>${esc(outcome.toLowerCase())}</b>, phase <b>${esc(status.phase)}</b>. Report created at ${esc(createdAt)}.</p>`,
    ...(status.planDigest === undefined ? [] : [`<p>Plan <code>${esc(status.planDigest)}</code></p>`]),
    ...(failure === undefined ? [] : [`<p class="failed">${esc(failure)}</p>`]),
    section('Timeline', gantt('Phases', phaseBars(data)) + gantt('Nodes, by wave', nodeBars(data))),
    section('Measurements', measured(pathLines(ledger))),
    ...remainingSection(data),
    ...tables(data),
    ...(calicoExport.length > 0 ? [`<p>Calico's objects were exported to ${esc(calicoExport.join(', '))}.</p>`] : []),
    ...(status.notes.length > 0
      ? [section('Notes', `<ul>${status.notes.map((note) => `<li>${esc(note)}</li>`).join('')}</ul>`)]
      : []),
  ];
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>${esc(title)}</title>
<style>${style}</style>
</head>
<body>
${parts.join('\n')}
</body>
</html>
`;
}

function remainingSection({ status: { remaining = [] } }: ReportData): string[] {
  if (remaining.length === 0) return [];
  const rows = remaining.map(({ node, since, work, skipped }) => [node, workText(work), since, skipped?.by ?? '']);
  return [section('Remaining nodes', table(['node', 'what remains to be done', 'since', 'skipped by'], rows))];
}

function tables(data: ReportData): string[] {
  const { status, preflight, policies } = data;
  const nodes = status.nodes.map(({ name, wave = '', state, seconds = '', failure }) => [
    ...[name, wave, state, seconds],
    failure?.message ?? '',
  ]);
  const decisionRows = decisions(data).map(([subject, { by, principal = '', reason, at }]) => [
    ...[subject, by, principal],
    ...[reason, at],
  ]);
  const checks = preflight.map(({ check, verdict, evidence, waived }) => [
    check,
    waived === undefined ? verdict : `${verdict}, waived: ${waived}`,
    evidence.join('; '),
  ]);
  return [
    section('Nodes', table(['node', 'wave', 'state', 'seconds', ''], nodes)),
    section('Decisions', table(['subject', 'claimed by', 'authenticated user', 'reason', 'time'], decisionRows)),
    section('Checks', table(['check', 'verdict', 'evidence'], checks)),
    ...(policies === undefined ? [] : [section('Policies', policyTable(policies))]),
  ];
}

function policyTable({ policies }: PolicyReport): string {
  return table(
    ['policy', 'verdict on Cilium', 'conditions and reasons', 'created objects'],
    policies.map(({ policy, verdict, conditions, reasons, objects }) => [
      policy,
      verdict,
      [...conditions, ...reasons].join('; '),
      objects.join(', '),
    ])
  );
}

const style = `
body { font: 15px/1.45 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; color: #222; background: #fff }
table { border-collapse: collapse; width: 100%; font-size: 13px }
th, td { text-align: left; padding: .25rem .6rem; border-bottom: 1px solid #ddd; vertical-align: top; overflow-wrap: anywhere }
svg { width: 100%; height: auto; font: 12px system-ui, sans-serif }
.failed { border-left: 4px solid #ee6677; padding-left: .8rem; white-space: pre-wrap }
`;

/** Renders bars over a common time axis, which starts with the first bar. */
function gantt(title: string, bars: readonly Bar[]): string {
  if (bars.length === 0) return '';
  const from = Math.min(...bars.map(({ fromMs }) => fromMs));
  const to = Math.max(...bars.map(({ toMs }) => toMs), from + 1);
  const x = (ms: number): number => labelWidth + ((ms - from) / (to - from)) * (width - labelWidth - 70);
  const rows = bars.map(({ label, fromMs, toMs, state }, index) => {
    const y = 24 + index * rowHeight;
    const seconds = ((toMs - fromMs) / 1_000).toFixed(1);
    const fill = stateColours[state] ?? otherColour;
    return (
      `<text x="${labelWidth - 8}" y="${y + 14}" text-anchor="end">${esc(short(label))}</text>` +
      `<rect x="${fixed(x(fromMs))}" y="${y}" width="${fixed(Math.max(2, x(toMs) - x(fromMs)))}" height="16" fill="${fill}"><title>${esc(label)}: ${esc(state)}, ${seconds} s</title></rect>` +
      `<text x="${fixed(x(toMs) + 6)}" y="${y + 13}">${seconds} s</text>`
    );
  });
  return svg(title, 30 + bars.length * rowHeight, rows.join(''));
}

/** Renders the losses per kind of path and stage, as a chart and as numbers. */
function measured(lines: readonly PathLine[]): string {
  if (lines.length === 0) return '<p>No measurements yet.</p>';
  const rows = lines.flatMap(({ kind, stages }) =>
    ledgerStages.flatMap((stage) => {
      const row = stages[stage];
      if (row === undefined) return [];
      const numbers = [row.sent, row.lost, row.lostMs, row.longestMs, row.resets, row.p50Ms, row.p99Ms];
      return [[kind, stage, ...numbers]];
    })
  );
  // Forbidden paths are left out of the chart: for them, an answer counts as a loss.
  const plotted = lines.filter(({ kind }) => kind !== 'pod-pod/denied');
  return (
    plot('Milliseconds without an answer, sum of all paths of a kind', plotted, 'lostMs') +
    plot('Longest gap of one path, in ms', plotted, 'longestMs') +
    plot('99th percentile of the response time, in ms', plotted, 'p99Ms') +
    '<p>On <code>pod-pod/denied</code>, lost samples are those that got through.</p>' +
    table(['path', 'stage', 'sent', 'lost', 'lost ms', 'longest ms', 'resets', 'p50 ms', 'p99 ms'], rows)
  );
}

function plot(title: string, lines: readonly PathLine[], field: 'lostMs' | 'longestMs' | 'p99Ms'): string {
  const maxValue = Math.max(1, ...lines.flatMap(({ stages }) => Object.values(stages).map((row) => row[field])));
  const barHeight = 7;
  const groupHeight = ledgerStages.length * barHeight + 8;
  const groups = lines.map(({ kind, meaning, stages }, index) => {
    const y = 40 + index * groupHeight;
    const bars = ledgerStages.map((stage, stageIndex) => {
      const value = stages[stage]?.[field];
      if (value === undefined) return '';
      const length = (value / maxValue) * (width - labelWidth - 90);
      const top = y + stageIndex * barHeight;
      return (
        `<rect x="${labelWidth}" y="${top}" width="${fixed(Math.max(1, length))}" height="${barHeight - 1}" fill="${stageColours[stage]}"><title>${esc(`${kind}, ${stage}: ${value}`)}</title></rect>` +
        (value > 0
          ? `<text x="${fixed(labelWidth + length + 5)}" y="${top + 6}" font-size="8">${esc(String(value))}</text>`
          : '')
      );
    });
    const label = `<text x="${labelWidth - 8}" y="${y + 14}" text-anchor="end">${esc(kind)}<title>${esc(meaning)}</title></text>`;
    return label + bars.join('');
  });
  const legend = ledgerStages.map(
    (stage, index) =>
      `<rect x="${labelWidth + index * 90}" y="22" width="10" height="10" fill="${stageColours[stage]}"/><text x="${labelWidth + 14 + index * 90}" y="31">${stage}</text>`
  );
  return svg(title, 44 + lines.length * groupHeight, legend.join('') + groups.join(''));
}

function svg(title: string, height: number, content: string): string {
  const label = esc(title);
  return `<svg viewBox="0 0 ${width} ${height}" role="img" aria-label="${label}"><text x="0" y="14" font-weight="bold">${label}</text>${content}</svg>`;
}

function section(title: string, content: string): string {
  return `<section><h2>${esc(title)}</h2>${content}</section>`;
}

function table(header: readonly string[], rows: readonly (readonly (string | number)[])[]): string {
  const cells = (tag: 'th' | 'td', row: readonly (string | number)[]): string =>
    `<tr>${row.map((cell) => `<${tag}>${esc(String(cell))}</${tag}>`).join('')}</tr>`;
  return `<table><thead>${cells('th', header)}</thead><tbody>${rows.map((row) => cells('td', row)).join('')}</tbody></table>`;
}

function short(label: string): string {
  return label.length > 36 ? `${label.slice(0, 35)}…` : label;
}

function fixed(value: number): string {
  return value.toFixed(1);
}

function esc(raw: string): string {
  return withoutControls(raw)
    .replaceAll('&', '&amp;')
    .replaceAll('<', '&lt;')
    .replaceAll('>', '&gt;')
    .replaceAll('"', '&quot;')
    .replaceAll("'", '&#39;');
}
