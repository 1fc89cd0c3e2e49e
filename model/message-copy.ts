import type { MessageContext } from './message-context.ts';

/**
 * Returns a copy of everything that a message can change. A validator applies its message to the copy: a complete copy of
 * a large cluster's state takes too long for each of thousands of messages.
 */
export function copyContext({ decisions, status, ...facts }: MessageContext): MessageContext {
  const { approvals, rollbacks, forcedPods, claims } = decisions;
  return {
    ...facts,
    decisions: {
      ...decisions,
      approvals: { nodes: { ...approvals.nodes }, waves: { ...approvals.waves } },
      rollbacks: [...rollbacks],
      forcedPods: [...forcedPods],
      ...(claims && { claims: { ...claims } }),
    },
    status: {
      ...status,
      approvals: { ...status.approvals },
      nodes: status.nodes.map((node) => ({ ...node })),
      ...(status.remaining && { remaining: status.remaining.map((node) => ({ ...node })) }),
    },
  };
}
