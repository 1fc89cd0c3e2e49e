import { isReady } from '../kubernetes/conditions.ts';
import type { ClusterConnection } from '../kubernetes/connection.ts';
import { replacedAgentAnnotation } from '../kubernetes/names.ts';
import { patchNode, readNode } from '../kubernetes/nodes.ts';
import { poll } from '../support/poll.ts';
import { agentAdvice, deleteAgent, listAgents } from './agents.ts';

/** UID of the agent to replace before it was read. */
const undecided = 'undecided';

/** Labels and annotations of a node to write; null removes one. */
interface NodeChanges {
  labels?: Record<string, string | null>;
  annotations?: Record<string, string | null>;
}

/**
 * Recreates the agent of a node, once for each purpose. The UID of the pod to delete is recorded on the node before the
 * deletion, so that a second call does not restart the agent again. The given changes of the node are written before its
 * agent is read: an agent that is created afterwards has read them.
 * @throws AgentNotReady when no new agent becomes ready.
 */
export async function restartAgentOnce(
  connection: ClusterConnection,
  node: string,
  purpose: string,
  changes: NodeChanges
): Promise<void> {
  const replaced = await recordAgentToReplace(connection, node, purpose, changes);
  const previousAgent = (await listAgents(connection, node)).find((pod) => pod.metadata?.uid === replaced);
  if (previousAgent !== undefined) await deleteAgent(connection, previousAgent);
  await poll(
    async () => {
      const ready = (await listAgents(connection, node)).some(
        (pod) => pod.metadata?.uid !== replaced && pod.metadata?.deletionTimestamp === undefined && isReady(pod)
      );
      return ready ? { done: undefined } : { waitingFor: `Cilium's new agent on ${node}` };
    },
    { timeoutMs: 300_000, onTimeout: 'AgentNotReady', advice: agentAdvice(node) }
  );
}

/**
 * Writes the given changes of a node, and then records which agent has to be replaced for a purpose, unless an earlier call
 * has recorded it.
 * @returns the UID of the agent's pod; `none` when there is none.
 */
async function recordAgentToReplace(
  connection: ClusterConnection,
  node: string,
  purpose: string,
  changes: NodeChanges
): Promise<string> {
  const { metadata } = await readNode(connection, node);
  const [written, writtenUid = undecided] = metadata?.annotations?.[replacedAgentAnnotation]?.split(' ') ?? [];
  if (written === purpose && writtenUid !== undecided) return writtenUid;
  if (written !== purpose) {
    const annotations = { ...changes.annotations, [replacedAgentAnnotation]: `${purpose} ${undecided}` };
    await patchNode(connection, node, { metadata: { ...changes, annotations } });
  }
  const agent = (await listAgents(connection, node)).find((pod) => pod.metadata?.deletionTimestamp === undefined);
  const uid = agent?.metadata?.uid ?? 'none';
  await patchNode(connection, node, { metadata: { annotations: { [replacedAgentAnnotation]: `${purpose} ${uid}` } } });
  return uid;
}
