import { setHandler } from '@temporalio/workflow';
import { withApiVersion } from '../../model/api-version.ts';
import type { Ledger } from '../../model/ledger.ts';
import type { Plan } from '../../model/plan.ts';
import type { PolicyReport } from '../../model/policies.ts';
import type { CheckOutcome } from '../../model/preflight.ts';
import type { MigrationStatus, NodeStatus } from '../../model/status.ts';
import {
  blockersQuery,
  ledgerQuery,
  nodeQuery,
  planQuery,
  policiesQuery,
  preflightQuery,
  statusQuery,
} from '../messages.ts';

/** What the queries of a migration read. */
interface QueriedState {
  readonly status: MigrationStatus;
  readonly plan: Plan | undefined;
  readonly preflight: CheckOutcome[] | undefined;
  readonly policies: PolicyReport | undefined;
  readonly ledger: Ledger;
  node(name: string): NodeStatus | undefined;
}

/** Sets the handlers of all queries. They are also answered after the end of the run. */
export function setQueryHandlers(state: QueriedState): void {
  setHandler(statusQuery, () => withApiVersion(state.status), {
    description: 'State of the migration: phase, nodes, and the current wait',
  });
  setHandler(planQuery, () => withApiVersion(state.plan), {
    description: 'Plan: waves with reasons, and what is installed and removed',
  });
  setHandler(preflightQuery, () => state.preflight, { description: 'Outcomes of the preflight checks' });
  setHandler(policiesQuery, () => withApiVersion(state.policies), {
    description: 'Result of the latest policy comparison',
  });
  setHandler(ledgerQuery, () => withApiVersion(state.ledger), {
    description: 'Measurements of every path, by stage',
  });
  setHandler(nodeQuery, (name) => withApiVersion(state.node(name)), {
    description: 'State of one node; its argument is the name',
  });
  setHandler(
    blockersQuery,
    () =>
      state.status.nodes.flatMap(({ name, blockers = [] }) => blockers.map((blocker) => ({ node: name, ...blocker }))),
    { description: 'Pods that block the drains in progress' }
  );
}
