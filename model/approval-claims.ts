/**
 * Claims: approvals that a message says, and that count once an object of the cluster proves them. Pure.
 */
import type { Decision } from './decision.ts';
import type { Decisions, MessageContext } from './message-context.ts';
import { copyContext } from './message-copy.ts';
import type { Messages } from './message-schemas.ts';
import { approvalKind, approvalSubject, subjectText } from './migration-approval.ts';

type Outcome = { problem: string } | { done: string };

/**
 * Records that a message claims an approval. It is refused for the same reasons as where the message suffices.
 * @param approve records an approval where the message suffices; called with a copy of the state.
 */
export function claimApproval(
  message: Messages['approve'],
  context: MessageContext,
  decision: Decision,
  approve: (message: Messages['approve'], context: MessageContext, decision: Decision) => Outcome
): Outcome {
  const outcome = approve(message, copyContext(context), decision);
  if ('problem' in outcome) return outcome;
  const subject = approvalSubject(message);
  addClaim(context.decisions, subject, decision);
  return { done: `noted: ${subjectText(subject)} is approved once its ${approvalKind} is found in the cluster` };
}

/** Maximum number of claims. The oldest are dropped. */
const maxClaims = 2_000;

/** Records that a message claims an approval. */
function addClaim(decisions: Decisions, subject: string, decision: Decision): void {
  const others = Object.entries(decisions.claims ?? {}).filter(([other]) => other !== subject);
  decisions.claims = Object.fromEntries([...others, [subject, decision] as const].slice(-maxClaims));
}

/** Turns the approvals that no user of the cluster has given into claims: they came before it was known what counts. */
export function claimUnverified(decisions: Decisions): void {
  const { nodes, waves } = decisions.approvals;
  const kinds = { node: nodes, wave: waves };
  for (const [kind, approvals] of Object.entries(kinds)) {
    for (const [name, decision] of Object.entries(approvals)) {
      if (decision.principal !== undefined) continue;
      addClaim(decisions, `${kind}/${name}`, decision);
      delete approvals[name];
    }
  }
}
