import { ApplicationFailure, TemporalFailure } from '@temporalio/workflow';
import { hashText } from '../../model/node-digest.ts';
import { isSkipped } from '../../model/remaining-nodes.ts';
import { summarizeList } from '../../model/summarize.ts';
import { allOrCancel } from '../support/all-or-cancel.ts';
import { operatorFailure } from '../support/operator-failure.ts';
import type { ClusterContext } from './context.ts';
import { waitForNodes } from './node-watch.ts';

/**
 * Runs a step on several nodes in parallel. A node that is not Ready does not stop the others.
 * @returns the names of the nodes that are away: the step has to be repeated for them.
 * @throws the first other failure.
 */
export async function onPresentNodes(
  names: readonly string[],
  step: (node: string) => Promise<unknown>
): Promise<string[]> {
  const away: string[] = [];
  const tolerant = async (node: string): Promise<void> => {
    try {
      await step(node);
    } catch (error) {
      if (!isAway(error)) throw error;
      away.push(node);
    }
  };
  await allOrCancel(...names.map((node) => () => tolerant(node)));
  return away.sort();
}

function isAway(error: unknown): boolean {
  if (!(error instanceof TemporalFailure)) return false;
  const failure = operatorFailure(error);
  return failure instanceof ApplicationFailure && failure.type === 'NodeNotReady';
}

/** Maximum time until the caller looks again, in ms: the step may have failed although the node is Ready. */
const lookAgainMs = 300_000;

/** The same for nodes that were Ready when they were last read: they are back since the step failed. */
const lookAgainReadyMs = 15_000;

/** Maximum number of nodes for which a wait lists an answer. */
const maxAnswers = 10;

/**
 * Waits until a node changes, because a step is left to do on nodes that are not Ready. The caller looks again then.
 * @param step what is left to do, such as `remove Canal`.
 * @param skippable names of the nodes that a person may skip. @default none
 */
export async function waitForAwayNodes(
  context: ClusterContext,
  names: readonly string[],
  step: string,
  skippable: readonly string[] = []
): Promise<void> {
  const { migration } = context;
  const subject = `${summarizeList(names)}, which is not Ready: repair it, or remove it from the cluster, to ${step}`;
  const key = `away ${hashText(names.join())}`;
  const areBack = context.nodes.facts.some(({ name, ready }) => ready && names.includes(name));
  const deadlineMs = Date.now() + (areBack ? lookAgainReadyMs : lookAgainMs);
  const skips = skippable.slice(0, maxAnswers).map((node) => ({
    does: `end without ${node}, and finish it when it is back`,
    message: 'skip',
    input: { node },
  }));
  const answers = [...skips, ...migration.interruptions];
  const wait = { kind: 'decision' as const, key, subject, answers, deadlineMs };
  const isDecided = (): boolean => skippable.some((node) => isSkipped(migration.status.remaining, node));
  await waitForNodes(context, wait, () => migration.status.paused !== undefined || isDecided());
}
