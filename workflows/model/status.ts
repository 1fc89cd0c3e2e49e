/** The phases of a cluster's migration, in order. */
export const phases = ['preflight', 'coexistence', 'migrate', 'cut-over', 'clean-up', 'done'] as const;

/** One of {@link phases}. */
export type Phase = (typeof phases)[number];

/** What becomes of a node: it waits its turn, waits for a human, is under way, is done, or stopped the migration. */
export type NodeState = 'pending' | 'awaiting-approval' | 'migrating' | 'migrated' | 'failed';

/** One node in the status. */
export interface NodeStatus {
  name: string;
  state: NodeState;
  /** Who let it go on, and why, when a human did. */
  approval?: { approver: string; reason: string; at: string };
  /** Seconds that its migration took. */
  seconds?: number;
}

/** Where a migration is. */
export interface MigrationStatus {
  cluster: string;
  phase: Phase;
  /** What it waits for just now, in words; undefined while it works. */
  waitingFor?: string;
  nodes: NodeStatus[];
  /** When each phase began (ISO 8601, UTC) and how long it took, in seconds; none yet for the current one. */
  timeline: { phase: Phase; startedAt: string; seconds?: number }[];
  /** Messages that made no sense, and other things worth knowing, newest last; at most 50 are kept. */
  notes: string[];
}

/** How many notes are kept. */
export const maxNotes = 50;

/** The result of a migration. */
export interface MigrationReport extends MigrationStatus {
  /** False when the cluster had been migrated before and there was nothing to do. */
  changed: boolean;
}

/** The status as Markdown, for the Web UI's current details. */
export function statusMarkdown(status: MigrationStatus, approveCommand: (node: string) => string): string {
  const lines = [`**${status.cluster}**: ${status.phase}`, ''];
  if (status.waitingFor !== undefined) lines.push(`Waiting for ${status.waitingFor}`, '');
  if (status.nodes.length > 0) {
    lines.push('| node | state | approved by | seconds |', '|---|---|---|---|');
    for (const node of status.nodes) {
      const approver = node.approval === undefined ? '' : cell(node.approval.approver);
      lines.push(`| ${cell(node.name)} | ${node.state} | ${approver} | ${node.seconds ?? ''} |`);
    }
    lines.push('');
  }
  for (const node of status.nodes) {
    if (node.state === 'awaiting-approval') lines.push('To approve:', '', '```', approveCommand(node.name), '```', '');
  }
  if (status.notes.length > 0) lines.push('Notes:', '', ...status.notes.map((note) => `- ${note}`));
  return lines.join('\n');
}

/** Text as it may stand in a cell of a Markdown table. */
function cell(text: string): string {
  return text.replaceAll('|', '\\|').replaceAll(/\s+/g, ' ');
}
