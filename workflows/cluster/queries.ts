import { setHandler } from '@temporalio/workflow';
import { withApiVersion } from '../../model/api-version.ts';
import type { MigrationState } from '../../model/migration-state.ts';
import { planView, statusView } from '../../model/status-view.ts';
import {
  blockersQuery,
  ledgerQuery,
  nodeQuery,
  planQuery,
  policiesQuery,
  preflightQuery,
  statusQuery,
} from '../messages.ts';

/** Sets the handlers of all queries. They are also answered after the end of the run. */
export function setQueryHandlers(state: MigrationState): void {
  setHandler(statusQuery, (page) => withApiVersion(statusView(state.status, page)), {
    description:
      'State of the migration: phase, nodes, and the current wait; its argument is optional: a page of the nodes',
  });
  setHandler(planQuery, () => withApiVersion(state.plan && planView(state.plan)), {
    description: 'Plan: waves with reasons, and what is installed and removed',
  });
  setHandler(preflightQuery, () => state.preflight, { description: 'Outcomes of the preflight checks' });
  setHandler(policiesQuery, () => withApiVersion(state.policies), {
    description: 'Result of the latest policy comparison',
  });
  setHandler(ledgerQuery, () => withApiVersion(state.ledger), {
    description: 'Measurements of every path, by stage',
  });
  setHandler(nodeQuery, (name) => withApiVersion(state.status.nodes.find((node) => node.name === name)), {
    description: 'State of one node; its argument is the name',
  });
  setHandler(
    blockersQuery,
    () =>
      state.status.nodes.flatMap(({ name, blockers = [] }) => blockers.map((blocker) => ({ node: name, ...blocker }))),
    { description: 'Pods that block the drains in progress' }
  );
}
