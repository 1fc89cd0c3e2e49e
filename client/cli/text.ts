import { styleText } from 'node:util';
import { repeatedStepText } from '../../model/attempts.ts';
import type { FleetStatus } from '../../model/fleet-status.ts';
import type { PolicyReport } from '../../model/policies.ts';
import type { CheckOutcome, Verdict } from '../../model/preflight.ts';
import { oneLine, withoutControls, withPrintableTexts } from '../../model/printable.ts';
import type { Ending } from '../workflow-requests.ts';
import { remainingText } from '../../model/remaining-nodes.ts';
import { blockerText, type MigrationStatus, type NodeState, type NodeStatus } from '../../model/status.ts';

/** Properties of the terminal for text output. */
export interface Screen {
  /** Characters per line. */
  columns: number;
  color: boolean;
}

type Style = Parameters<typeof styleText>[0];

/** Start and end of the styles of this file. */
// eslint-disable-next-line no-control-regex -- these are control sequences
const styleSequence = /(\u001b\[(?:1|22|3[1-9])m)/;

/**
 * Replaces the control characters of a text, except those of the styles of this file: only for a text of this file that
 * can have styles. Its data has no control characters, as they are removed first.
 */
export function forTerminal(text: string): string {
  return text
    .split(styleSequence)
    .map((part) => (styleSequence.test(part) ? part : withoutControls(part)))
    .join('');
}

const nodeStyles: Readonly<Partial<Record<NodeState, Style>>> = {
  migrated: 'green',
  migrating: 'cyan',
  'awaiting-approval': 'yellow',
  failed: 'red',
  'rolling-back': 'magenta',
};

const verdictStyles: Readonly<Record<Verdict, Style>> = { pass: 'green', warn: 'yellow', block: 'red' };

/** Minimum width: text is unreadable on narrower lines. */
const minColumns = 30;

/**
 * Returns the screen of an output stream.
 * @param noColor option of the user, in addition to the variable NO_COLOR.
 */
export function detectScreen(
  stream: { isTTY?: boolean; columns?: number },
  noColor: boolean,
  env: NodeJS.ProcessEnv
): Screen {
  const plain = noColor || (env['NO_COLOR'] ?? '') !== '' || env['TERM'] === 'dumb' || stream.isTTY !== true;
  const columns = stream.columns ?? (Number(env['COLUMNS']) || 80);
  return { columns: Math.max(minColumns, columns), color: !plain };
}

/** Wraps text into lines of at most `columns` characters; longer words stay whole. */
export function wrap(text: string, columns: number, indent = ''): string[] {
  return text.split('\n').flatMap((paragraph) => {
    const lines: string[] = [];
    let line = '';
    for (const word of paragraph.split(' ')) {
      if (line !== '' && indent.length + line.length + 1 + word.length > columns) {
        lines.push(indent + line);
        line = word;
      } else line = line === '' ? word : `${line} ${word}`;
    }
    return [...lines, indent + line];
  });
}

/** What a status itself does not contain. */
interface StatusContext {
  /**
   * Commands that end the wait, with the effect of each.
   * @default none
   */
  commands?: readonly { does: string; command: string }[];
  /**
   * How the run has ended: a terminated one, for example, still has the wait in its status.
   * @default the run is open
   */
  ending?: Ending | undefined;
}

/** Formats the status for a terminal: the most important parts first. */
export function statusText(
  received: MigrationStatus,
  { columns, color }: Screen,
  { commands = [], ending }: StatusContext = {}
): string {
  const status = withPrintableTexts(received);
  const paint = painter(color);
  const lines = [`${paint('bold', status.cluster)}: ${paint('bold', status.phase)}`];
  if (status.planDigest !== undefined) lines.push(`Plan ${status.planDigest}`);
  if (ending === undefined) lines.push(...waitLines(status, columns, paint, commands));
  else lines.push(...endingLines(ending, columns).map((line) => paint('yellow', line)));
  const counts = Object.entries(status.nodeCounts ?? {}).map(([state, count]) => `${count} ${state}`);
  if (counts.length > 0) lines.push('', ...wrap(`Nodes: ${counts.join(', ')}`, columns));
  if (status.nodes.length > 0) lines.push('', ...nodeLines(status.nodes, columns, paint));
  const { remaining = [] } = status;
  if (remaining.length > 0) {
    lines.push('', 'Remaining nodes, which are finished when they are back:');
    lines.push(...remaining.flatMap((node) => wrap(`- ${remainingText(node)}`, columns, '  ')));
  }
  if (status.notes.length > 0) {
    lines.push('', 'Notes:', ...status.notes.slice(-5).flatMap((note) => wrap(`- ${note}`, columns, '  ')));
  }
  return lines.join('\n');
}

/** Returns how a run has ended; nothing for one that has completed, whose phase says so. */
function endingLines({ status, failure }: Ending, columns: number): string[] {
  if (status === 'COMPLETED') return [];
  const outcome = status.toLowerCase().replaceAll('_', ' ');
  const [first = '', ...more] = withoutControls(failure === undefined ? outcome : `${outcome}: ${failure}`).split('\n');
  // Indented, so that no line of a failure passes for one of this program.
  return [...wrap(`The run has ended: ${first}`, columns), ...more.flatMap((text) => wrap(text, columns, '    '))];
}

/** Maximum number of repeated steps shown. */
const maxSteps = 20;

function waitLines(
  status: MigrationStatus,
  columns: number,
  paint: Painter,
  commands: NonNullable<StatusContext['commands']>
): string[] {
  const lines: string[] = [];
  if (status.paused !== undefined) {
    const { by, reason } = status.paused;
    lines.push(
      ...wrap(`Paused by ${by}${reason === '' ? '' : `: ${reason}`}`, columns).map((line) => paint('yellow', line))
    );
  }
  if (status.waitingFor !== undefined) {
    lines.push(...wrap(`Waiting for ${status.waitingFor}`, columns).map((line) => paint('yellow', line)));
    if (status.waiting !== undefined) lines.push(`  since ${status.waiting.since}`);
  }
  for (const step of (status.repeatedSteps ?? []).slice(1, maxSteps))
    lines.push(...wrap(`Also ${repeatedStepText(step)}`, columns, '  '));
  // Not wrapped, so that they can be copied.
  for (const { does, command } of commands)
    lines.push(...wrap(`To ${oneLine(does)}:`, columns, '  '), `    ${command}`);
  return lines;
}

function nodeLines(nodes: readonly NodeStatus[], columns: number, paint: Painter): string[] {
  const width = Math.min(Math.max(...nodes.map(({ name }) => name.length)), Math.floor(columns / 2));
  return nodes.flatMap((node) => {
    const seconds = node.seconds === undefined ? '' : ` ${node.seconds} s`;
    const name = node.name.length > width ? `${node.name.slice(0, width - 1)}…` : node.name.padEnd(width);
    const details = node.failure?.message ?? node.waitingFor ?? node.blockers?.map(blockerText).join('; ') ?? '';
    const style = nodeStyles[node.state];
    const state = style === undefined ? node.state : paint(style, node.state);
    return [`${name}  ${state}${seconds}`, ...(details === '' ? [] : wrap(details.slice(0, 500), columns, '    '))];
  });
}

/** Formats the outcomes of checks for a terminal: those that block or warn, then the number that pass. */
export function preflightText(received: readonly CheckOutcome[], { columns, color }: Screen): string {
  const outcomes = withPrintableTexts(received);
  const paint = painter(color);
  const lines: string[] = [];
  for (const verdict of ['block', 'warn'] as const) {
    for (const { check, evidence, fix, waived } of outcomes.filter((outcome) => outcome.verdict === verdict)) {
      lines.push(`${paint(verdictStyles[verdict], waived === undefined ? verdict : 'waived')} ${check}`);
      for (const text of evidence) lines.push(...wrap(text, columns, '  '));
      const advice = waived === undefined ? fix : `waived: ${waived}`;
      if (advice !== undefined) lines.push(...wrap(`→ ${advice}`, columns, '  '));
    }
  }
  const passed = outcomes.filter(({ verdict }) => verdict === 'pass').length;
  lines.push(`${paint('green', String(passed))} of ${outcomes.length} checks passed`);
  return lines.join('\n');
}

/** Returns the changes between two reads of a status, one per line. */
export function changes(before: MigrationStatus | undefined, current: MigrationStatus): string[] {
  const now = withPrintableTexts(current);
  const lines: string[] = [];
  if (before?.phase !== now.phase) lines.push(now.phase);
  const states = new Map(before?.nodes.map(({ name, state }) => [name, state]));
  for (const { name, state, seconds } of now.nodes) {
    if (states.get(name) === state || (state === 'pending' && !states.has(name))) continue;
    lines.push(`  ${name}: ${state}${seconds === undefined ? '' : ` in ${seconds} s`}`);
  }
  if (before?.waitingFor !== current.waitingFor && now.waitingFor !== undefined) {
    lines.push(`  waiting for ${now.waitingFor}`);
  }
  return lines;
}

/**
 * Formats the status of a fleet as lines.
 * @param ending how its run has ended; undefined while it is open.
 */
export function fleetText(received: FleetStatus, ending?: Ending): string {
  const status = withPrintableTexts(received);
  const { fleet, clusters, notes } = status;
  const lines = [fleet];
  lines.push(...(ending === undefined ? fleetWaitLines(status) : endingLines(ending, Number.POSITIVE_INFINITY)));
  for (const { cluster, canary, state, progress, failure } of clusters) {
    const nodes = progress === undefined ? '' : `, ${progress.phase}, ${progress.migrated} of ${progress.nodes} nodes`;
    lines.push(`${cluster}${canary ? ' (canary)' : ''}: ${state}${nodes}`);
    const details = failure?.message ?? progress?.waitingFor;
    if (details !== undefined) lines.push(`    ${details}`);
  }
  if (notes.length > 0) lines.push('', 'Notes:', ...notes.slice(-5).map((note) => `- ${note}`));
  return lines.join('\n');
}

function fleetWaitLines({ paused, waitingFor }: FleetStatus): string[] {
  const lines: string[] = [];
  if (paused !== undefined) lines.push(`Paused by ${paused.by}${paused.reason === '' ? '' : `: ${paused.reason}`}`);
  if (waitingFor !== undefined) lines.push(`Waiting for ${waitingFor}`);
  return lines;
}

type Painter = (style: Style, text: string) => string;

function painter(color: boolean): Painter {
  return (style, text) => (color ? styleText(style, text, { validateStream: false }) : text);
}

/** Formats the result of a policy comparison as lines. */
export function policyText(report: PolicyReport): string {
  const { counts, flows, equal, policies, more } = withPrintableTexts(report);
  const kinds = Object.entries(counts).map(([kind, count]) => `${count} ${kind}`);
  const lines = [
    kinds.join(', ') || 'no policies',
    `${equal} have the same verdict on Cilium for every one of ${flows} kinds of flows`,
  ];
  const verdictTexts = { equal: 'the same', 'equal-if': 'the same under conditions', different: 'DIFFERENT' };
  for (const { policy, verdict, conditions, reasons, objects } of policies) {
    lines.push(`${policy}: ${verdictTexts[verdict]}`);
    for (const reason of [...conditions, ...reasons]) lines.push(`    ${reason}`);
    if (objects.length > 0) lines.push(`    created objects: ${objects.join(', ')}`);
  }
  if (more > 0) lines.push(`and ${more} more`);
  return lines.join('\n');
}
