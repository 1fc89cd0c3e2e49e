import { openAnswers } from './step-answers.ts';
import {
  approvalSubject,
  buildApproval,
  maxApprovedNodes,
  readPlanDigest,
  type ApprovalSpec,
  type ApprovalTarget,
} from './migration-approval.ts';
import type { Messages } from './message-schemas.ts';
import type { MigrationStatus } from './status.ts';
import { shellQuote } from './shell.ts';

/** Place of the user's name in a command. */
const userPlace = 'YOUR USER';

/** Returns what approvals have to name; undefined where a message suffices. */
export function findApprovalTarget(status: MigrationStatus): ApprovalTarget | undefined {
  return status.approvalTarget && { ...status.approvalTarget, planDigest: readPlanDigest(status) };
}

/**
 * Builds the specification of the approval that a message claims.
 * @returns the specification; or the problem, for a wave whose nodes the status does not show.
 */
export function buildApprovalSpec(
  message: Pick<Messages['approve'], 'node' | 'wave' | 'plan' | 'cutover'>,
  target: ApprovalTarget,
  status: MigrationStatus,
  user: string
): ApprovalSpec | { problem: string } {
  const spec = { ...target, subject: approvalSubject(message), user };
  const { wave } = message;
  if (wave === undefined) return spec;
  const waiting = status.nodes.filter((node) => node.wave === wave && node.state === 'awaiting-approval');
  const nodes = waiting.map(({ name }) => name).slice(0, maxApprovedNodes);
  if (nodes.length > 0) return { ...spec, nodes };
  return {
    problem: `wave ${wave} does not wait for an approval, so that its nodes are not known; approve nodes by name`,
  };
}

/** Returns the commands of kubectl that create the approvals for which a migration waits. */
export function approvalCommands(status: MigrationStatus): string[] {
  const target = findApprovalTarget(status);
  if (target === undefined) return [];
  return openAnswers(status).flatMap(({ message, input }) => {
    if (message !== 'approve') return [];
    const spec = buildApprovalSpec(input, target, status, userPlace);
    if ('problem' in spec) return [];
    return [`printf %s ${shellQuote(JSON.stringify(buildApproval(spec)))} | kubectl create -f -`];
  });
}
