import { approvalCommands } from '../approval-commands.ts';
import { repeatedStepText } from '../attempts.ts';
import { decidedBy } from '../decision.ts';
import { isMeasured, type Ledger } from '../ledger.ts';
import type { Plan } from '../plan.ts';
import type { CheckOutcome } from '../preflight.ts';
import { updateCommand, type WorkflowAddress } from '../shell.ts';
import { remainingText } from '../remaining-nodes.ts';
import { summarizeLines } from '../summarize.ts';
import { blockerText, countsText, type MigrationStatus, type NodeStatus, type Phase } from '../status.ts';
import { openAnswers } from '../step-answers.ts';
import { ledgerMarkdown } from './ledger.ts';
import { planMarkdown } from './plan.ts';
import { preflightMarkdown } from './preflight.ts';
import { cell, code, codeBlock, line } from './escape.ts';
import { tableHeader, tableRow } from './table.ts';

/** Maximum number of nodes shown as a table; more nodes are counted by state. */
const maxRows = 100;

/** Maximum number of repeated steps shown. */
const maxSteps = 20;

/** Maximum number of shown commands that create an approval. */
const maxApprovals = 20;

/** Details shown next to the status, once they exist. */
export interface StatusDetails {
  preflight?: readonly CheckOutcome[] | undefined;
  plan?: Plan | undefined;
  ledger?: Ledger | undefined;
}

/**
 * Formats the status as Markdown, for the current details in the Web UI.
 * @param workflow the migration's workflow, for the commands that end a wait.
 */
export function statusMarkdown(
  status: MigrationStatus,
  workflow: WorkflowAddress,
  details: StatusDetails = {}
): string {
  const lines = [`**${cell(status.cluster)}**: ${status.phase}`, ''];
  // In the phase plan, the plan itself shows it.
  if (status.planDigest !== undefined && status.phase !== 'plan') lines.push(`Plan: ${code(status.planDigest)}`, '');
  if (status.paused !== undefined) {
    lines.push(`Paused by ${cell(status.paused.by)}: ${cell(status.paused.reason) || 'no reason given'}`, '');
  }
  if (status.waitingFor !== undefined) {
    const since = status.waiting === undefined ? '' : ` (since ${status.waiting.since})`;
    lines.push(`Waiting for ${cell(status.waitingFor)}${since}`, '');
  }
  for (const answer of openAnswers(status)) {
    lines.push(`To ${cell(answer.does)}:`, '', ...codeBlock([updateCommand(workflow, answer)]), '');
  }
  lines.push(...approvalLines(status));
  lines.push(...stepLines(status.repeatedSteps));
  lines.push(...nodeLines(status.nodes));
  lines.push(...remainingLines(status));
  lines.push(...detailLines(status.phase, details));
  if (status.notes.length > 0) lines.push('Notes:', '', ...status.notes.map((note) => `- ${line(note)}`));
  return lines.join('\n');
}

/** Returns how to create the approvals that are awaited, where they are objects of the cluster. */
function approvalLines(status: MigrationStatus): string[] {
  const commands = approvalCommands(status).slice(0, maxApprovals);
  if (commands.length === 0) return [];
  const intro =
    'An approval counts once its object is in the cluster: "cni-migrate approve" creates it with your kubeconfig. With ' +
    'kubectl, before the message, with your user as "kubectl auth whoami" shows it:';
  return [intro, '', ...codeBlock(commands), ''];
}

/** Returns the details that matter in the phase: first the checks and the plan, later the measurements. */
function detailLines(phase: Phase, { preflight, plan, ledger }: StatusDetails): string[] {
  const early = phase === 'preflight' || phase === 'plan';
  const lines: string[] = [];
  if (early && preflight !== undefined) lines.push('Checks:', '', preflightMarkdown(preflight), '');
  if (phase === 'plan' && plan !== undefined) lines.push('Plan:', '', planMarkdown(plan), '');
  if (phase === 'migrate' && plan !== undefined) {
    const { seconds, nodeSeconds, basis } = plan.estimate;
    lines.push(
      `Estimated time left: ${Math.ceil(seconds / 60)} minutes (${nodeSeconds} s per node: ${cell(basis)}).`,
      ''
    );
  }
  if (!early && ledger !== undefined && isMeasured(ledger)) lines.push(ledgerMarkdown(ledger), '');
  return lines;
}

/** Returns the other steps that are repeated: the wait names the first one. */
function stepLines(steps: MigrationStatus['repeatedSteps'] = []): string[] {
  if (steps.length < 2) return [];
  const shown = steps.slice(0, maxSteps).map((step) => `- ${line(repeatedStepText(step))}`);
  return ['Steps whose last attempts have failed:', '', ...shown, ''];
}

/** Returns what remains to be done on nodes that are switched off. */
function remainingLines({ remaining = [] }: MigrationStatus): string[] {
  if (remaining.length === 0) return [];
  const lines = summarizeLines(remaining.map(remainingText), maxRows, 'nodes');
  return ['Remaining nodes, which are finished when they are back:', '', ...lines.map((text) => `- ${line(text)}`), ''];
}

function nodeLines(nodes: readonly NodeStatus[]): string[] {
  if (nodes.length === 0) return [];
  const lines = [countsText(nodes), ''];
  // Nodes on which nothing happens matter least.
  const shown = nodes.length <= maxRows ? nodes : nodes.filter(({ state }) => !['pending', 'migrated'].includes(state));
  if (shown.length === 0) return lines;
  lines.push(...tableHeader('node', 'state', 'approved by', 'seconds', ''));
  for (const node of shown.slice(0, maxRows)) {
    const { name, state, approval, seconds = '' } = node;
    lines.push(
      tableRow([
        name,
        state,
        approval === undefined ? '' : decidedBy(approval),
        seconds,
        nodeRemark(node).slice(0, 500),
      ])
    );
  }
  return [...lines, ''];
}

/** Returns the reason for the state of a node: its failure, what it waits for, or its blockers. */
function nodeRemark({ failure, waitingFor, blockers = [] }: NodeStatus): string {
  return failure?.message ?? waitingFor ?? blockers.map(blockerText).join('; ');
}
