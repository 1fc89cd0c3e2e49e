import { setHandler, workflowInfo } from '@temporalio/workflow';
import { applyMessage } from '../../model/decisions.ts';
import type { MessageContext } from '../../model/message-context.ts';
import { copyContext } from '../../model/message-copy.ts';
import { messageNames, parseMessage, type MessageName, type Messages } from '../../model/message-schemas.ts';
import { showNodeWait } from '../../model/pending-needs.ts';
import { nodeStepAnswers } from '../../model/step-answers.ts';
import type { NodeProgress } from '../../model/status.ts';
import { progressSignal } from '../messages.ts';
import { setMessageHandlers } from '../support/message-handlers.ts';
import type { Migration } from './migration.ts';
import { setQueryHandlers } from './queries.ts';

/**
 * Sets the handlers of all messages, queries and progress. Handlers only change the state; the phases read it. Call it
 * before anything else: the first workflow task may already contain a message.
 */
export function setHandlers(migration: Migration): void {
  const { state } = migration;
  setQueryHandlers(state);
  setHandler(progressSignal, (progress) => applyProgress(migration, progress));
  setMessageHandlers<MessageName, Messages[MessageName], MessageContext>({
    names: messageNames,
    context: () => {
      const isUnread = state.source === undefined && state.status.pointOfNoReturn === undefined;
      const hasWindows = (state.request?.input.windows.length ?? 0) > 0;
      const requiresPlanDigest = state.request?.requiresPlanDigest === true;
      const isAuthenticated = state.request?.approvals === 'authenticated';
      const { decisions, status } = state;
      return { decisions, status, isUnread, hasWindows, requiresPlanDigest, isAuthenticated };
    },
    copy: copyContext,
    parse: parseMessage,
    apply: applyMessage,
    onAccepted: (name, message) => {
      for (const listener of migration.listeners) listener(name, message);
      migration.publish();
    },
    note: (text) => migration.note(text),
  });
}

/** Shows the progress of a node. A node that an earlier run started may still report to this workflow's ID. */
function applyProgress(migration: Migration, progress: NodeProgress): void {
  const { node, blockers, parentRunId } = progress;
  const status = migration.node(node);
  if (status === undefined || parentRunId !== workflowInfo().runId) return;
  status.blockers = blockers;
  const answers = nodeStepAnswers(progress, migration.status);
  showNodeWait(status, { ...progress, answers }, new Date().toISOString());
  migration.publish();
}
