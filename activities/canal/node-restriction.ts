import { PatchStrategy, setHeaderOptions } from '@kubernetes/client-node';
import { mapLimit } from '../support/map-limit.ts';
import { requireApproval } from '../kubernetes/approvals.ts';
import type { ClusterConnection } from '../kubernetes/connection.ts';
import { httpStatus } from '../kubernetes/errors.ts';
import { sourceAgentLabel, sourceUpdatesAnnotation } from '../kubernetes/names.ts';
import { listNodes, patchNode } from '../kubernetes/nodes.ts';
import type { OnCluster } from '../kubernetes/on-cluster.ts';
import { listPods } from '../kubernetes/pods.ts';
import { matchesSelector } from '../kubernetes/label-selectors.ts';
import { findCanal, type CanalInstallation } from './detect.ts';

/** Maximum number of nodes that are changed in parallel. */
const maxParallelNodes = 10;

const merge = setHeaderOptions('Content-Type', PatchStrategy.MergePatch);

/** Creates the activities that decide on which nodes Canal runs. */
export function createNodeRestrictionActivities(onCluster: OnCluster) {
  return {
    /**
     * Keeps Canal off every node on which it does not run at the moment, so that no pod of a node that joins later can
     * start on Canal: labels the nodes with a pod of Canal, and adds the label to the node selector of Canal's DaemonSet.
     * Running pods of Canal stay as they are: until the restriction is lifted, the DaemonSet replaces a pod only after it
     * was deleted. Does nothing where Canal is gone or already restricted.
     * @throws ApprovalMissing, ApprovalsUnverifiable when the cutover is not approved as configured.
     */
    keepCanalOffNewNodes: onCluster('keep Canal off new nodes', async (connection) => {
      await requireApproval(connection, 'cutover');
      await repeatOnConflict(() => keepOffNewNodes(connection));
    }),

    /**
     * Lifts the restriction of {@link keepCanalOffNewNodes}: Canal runs on all its nodes again, and its DaemonSet is as it
     * was. Does nothing where there is no restriction.
     */
    letCanalOnAllNodes: onCluster('let Canal run on all nodes', (connection) =>
      repeatOnConflict(() => letOnAllNodes(connection))
    ),
  };
}

async function keepOffNewNodes(connection: ClusterConnection): Promise<void> {
  const canal = await findCanal(connection);
  if (canal === undefined || isKeptOffNewNodes(canal)) return;
  const matchLabels = canal.daemonSet.spec?.selector.matchLabels ?? {};
  const pods = await listPods(connection, { namespace: canal.namespace });
  const nodes = pods.filter(({ labels, node }) => node !== '' && matchesSelector({ matchLabels }, labels));
  await mapLimit(maxParallelNodes, nodes, ({ node }) =>
    patchNode(connection, node, { metadata: { labels: { [sourceAgentLabel]: 'true' } } })
  );
  const { updateStrategy } = canal.daemonSet.spec ?? {};
  await patchCanal(connection, canal, {
    metadata: { annotations: { [sourceUpdatesAnnotation]: JSON.stringify(updateStrategy ?? {}) } },
    spec: {
      // A change of the template would otherwise restart Canal on every node.
      updateStrategy: { type: 'OnDelete', rollingUpdate: null },
      template: { spec: { nodeSelector: { [sourceAgentLabel]: 'true' } } },
    },
  });
}

async function letOnAllNodes(connection: ClusterConnection): Promise<void> {
  const canal = await findCanal(connection);
  if (canal !== undefined && isKeptOffNewNodes(canal)) {
    const recorded = canal.daemonSet.metadata?.annotations?.[sourceUpdatesAnnotation];
    await patchCanal(connection, canal, {
      metadata: { annotations: { [sourceUpdatesAnnotation]: null } },
      spec: {
        ...(recorded !== undefined && { updateStrategy: JSON.parse(recorded) as object }),
        template: { spec: { nodeSelector: { [sourceAgentLabel]: null } } },
      },
    });
  }
  const labelled = (await listNodes(connection)).filter(
    ({ metadata }) => metadata?.labels?.[sourceAgentLabel] !== undefined
  );
  await mapLimit(maxParallelNodes, labelled, ({ metadata }) =>
    patchNode(connection, metadata?.name ?? '', { metadata: { labels: { [sourceAgentLabel]: null } } })
  );
}

/** Maximum number of attempts to change Canal's DaemonSet, whose controller also changes it, when it updates its status. */
const maxAttempts = 5;

/** Repeats work, which reads again what it changes, when another process has changed it meanwhile. */
async function repeatOnConflict(work: () => Promise<void>): Promise<void> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await work();
    } catch (error) {
      if (httpStatus(error) !== 409 || attempt >= maxAttempts) throw error;
    }
  }
}

/** Returns true while Canal is kept off new nodes: its running pods then have an older template than its DaemonSet. */
export function isKeptOffNewNodes({ daemonSet }: CanalInstallation): boolean {
  return daemonSet.spec?.template.spec?.nodeSelector?.[sourceAgentLabel] !== undefined;
}

/** Changes Canal's DaemonSet; of two concurrent changes, one is refused. */
async function patchCanal(
  { apps }: ClusterConnection,
  { name, namespace, daemonSet }: CanalInstallation,
  body: { metadata: object; spec: object }
): Promise<void> {
  const resourceVersion = daemonSet.metadata?.resourceVersion;
  const patch = { ...body, metadata: { ...body.metadata, resourceVersion } };
  await apps.patchNamespacedDaemonSet({ name, namespace, body: patch }, merge);
}
