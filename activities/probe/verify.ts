import { Context } from '@temporalio/activity';
import { contains } from '../../model/networks.ts';
import { tunnelSuspicion } from '../../model/gates.ts';
import { flipLabel } from '../../model/names.ts';
import type { Network } from '../../model/network.ts';
import { readTunnelPort } from '../cilium/agents.ts';
import { failure } from '../support/failures.ts';
import { summarizeList } from '../../model/summarize.ts';
import { limitedMemory, unprivileged } from '../helpers/container-security.ts';
import {
  oneShotPodName,
  removeOneShotPod,
  startOneShotPod,
  terminatedContainer,
  waitForOneShotPod,
  type OneShotPod,
} from '../helpers/one-shot-pod.ts';
import type { ClusterConnection } from '../kubernetes/connection.ts';
import { ifFound } from '../kubernetes/errors.ts';
import type { OnCluster } from '../kubernetes/on-cluster.ts';
import { helperNamespace as namespace } from '../kubernetes/names.ts';
import type { NodeTarget } from '../kubernetes/nodes.ts';
import { listPods, podFacts, type PodFacts } from '../kubernetes/pods.ts';
import { isOnSource } from '../node/source-pods.ts';
import { poll } from '../support/poll.ts';
import { checksFor, parseCheckResults, selectProbers, type Check, type CheckResult } from './checks.ts';
import { requestFlush, readAllLedgers, flushDelayMs } from './ledger.ts';
import { requireOwnNamespace } from '../helpers/namespace.ts';
import { readProbeKey } from '../helpers/probe-key.ts';
import { prober } from '../helpers/prober-ports.ts';

/** Input of `verifyNode`. */
export interface VerifyTarget extends NodeTarget {
  targetPodCidr: string;
  proberImage: string;
  /** Network from which new pods of the node must get an address. */
  expected: Network;
}

/**
 * Time in ms during which a new pod may still get an address of the source network, until the runtime has read the new
 * CNI file.
 */
const wrongNetworkToleranceMs = 60_000;

/** Maximum number of attempts of failed checks whose peers have changed in the meantime. */
const maxAttempts = 3;

/**
 * Time in ms during which checks are replaced when their peer is gone, and the interval between polls of the peers, in
 * ms. Other nodes of a wave recreate their probers at the same time, and waiting for a deleted prober would be useless.
 */
const replaceChecksForMs = 90_000;
const peerPollIntervalMs = 3_000;

/** Number of nodes above which only some probers are read, and the number of nodes of each kind that are then used. */
const largeCluster = 100;
const maxNodesPerNetwork = 5;

/** Timeout of the prober for each check, in seconds. */
const checkTimeoutSeconds = 30;

/** Creates the activities that verify. */
export function createProbeActivities(onCluster: OnCluster) {
  return {
    /**
     * Starts a pod on the node that checks the network from inside: its own address, the API server, DNS, a service,
     * and pods of both networks in both directions.
     * @returns the outcome of each check. After a rollback, failed checks are returned and not thrown when Cilium's
     * overlay is blocked, because the node does not cause them.
     * @throws ForeignNamespace when the namespace of our helpers is not ours.
     * @throws WrongNetwork when the pod gets an address of the other network.
     * @throws VerificationFailed naming each check that failed.
     */
    verifyNode: onCluster('verify the node', async (connection, target: VerifyTarget): Promise<CheckResult[]> => {
      await requireOwnNamespace(connection);
      const replaceChecksUntilMs = Date.now() + replaceChecksForMs;
      for (let attempt = 1; ;) {
        const peers = await listPeers(connection);
        const contacted = selectProbers(peers, target.targetPodCidr);
        const results = await runVerificationChecks(
          connection,
          target,
          checksFor(peers, target.targetPodCidr),
          async () => Date.now() < replaceChecksUntilMs && (await isAnyPeerReplaced(connection, contacted))
        );
        if (results === undefined) continue;
        const failed = results.filter((result) => !result.ok);
        if (failed.length === 0) return results;
        // After a reboot, the API server may still show the pods' earlier state for a while.
        const outdated = addressKey(await listPeers(connection)) !== addressKey(peers);
        if (outdated && attempt++ < maxAttempts) continue;
        // On a large cluster, the ledgers may be a minute old.
        await requestFlush(connection, [target.node]);
        await Context.current().sleep(flushDelayMs);
        const cause = tunnelSuspicion(await readAllLedgers(connection), await readTunnelPort(connection), Date.now());
        // A node that was rolled back is in its original state. While the overlay is blocked, it cannot reach nodes on
        // Cilium, and keeping it cordoned would not change that.
        if (target.expected === 'canal' && cause !== undefined) return results;
        const lines = failed.map((result) => `${result.name}: ${result.error ?? 'failed'}`);
        throw failure(
          'VerificationFailed',
          `${cause === undefined ? '' : `${cause}\n`}from a new pod on ${target.node}, ${failed.length} of ${results.length} checks fail:\n${lines.join('\n')}`
        );
      }
    }),

    /**
     * Checks that no pod is left on the source network.
     * @throws WrongNetwork naming the pods that are.
     */
    requireAllPodsOnTarget: onCluster(
      'check for pods on the source network',
      async (connection, { targetPodCidr }: { cluster: string; targetPodCidr: string }): Promise<void> => {
        await poll(
          async () => {
            const remainingPods = (await listPods(connection)).filter((pod) => isOnSource(pod, targetPodCidr));
            const names = remainingPods.map((pod) => `${pod.key} on ${pod.node}`);
            return remainingPods.length === 0
              ? { done: undefined }
              : { waitingFor: `pods to leave Canal: ${summarizeList(names, 20)}` };
          },
          {
            timeoutMs: 60_000,
            onTimeout: 'WrongNetwork',
            advice: 'recreate them, then start the migration again',
          }
        );
      }
    ),
  };
}

/**
 * Returns the probers that new pods contact: all of them or, in a large cluster, those of some flipped and some other
 * nodes.
 */
async function listPeers(connection: ClusterConnection): Promise<PodFacts[]> {
  const { core } = connection;
  const isPeer = (pod: PodFacts): boolean => pod.labels['app'] === prober;
  const { metadata } = await core.listNode({ limit: 1 });
  if ((metadata?._continue ?? '') === '' || (metadata?.remainingItemCount ?? 0) < largeCluster)
    return (await listPods(connection, { namespace })).filter(isPeer);
  const nodeLists = await Promise.all(
    [flipLabel, `!${flipLabel}`].map((labelSelector) => core.listNode({ labelSelector, limit: maxNodesPerNetwork }))
  );
  const names = nodeLists.flatMap(({ items }) => items.map((node) => node.metadata?.name ?? ''));
  const pods = await Promise.all(names.map((name) => listPods(connection, { namespace, node: name })));
  return pods.flat().filter(isPeer);
}

function addressKey(peers: readonly PodFacts[]): string {
  return peers
    .map(({ uid, ip }) => `${uid} ${ip}`)
    .sort()
    .join();
}

/** Returns true when one of these pods is terminating, gone or changed. */
async function isAnyPeerReplaced({ core }: ClusterConnection, pods: readonly PodFacts[]): Promise<boolean> {
  const current = await Promise.all(pods.map(({ name }) => ifFound(core.readNamespacedPod({ name, namespace }))));
  return pods.some(({ uid, ip }, index) => {
    const { metadata, status } = current[index] ?? {};
    return metadata?.uid !== uid || status?.podIP !== ip || metadata.deletionTimestamp !== undefined;
  });
}

/**
 * Runs the checks in a verification pod.
 * @returns their outcome; undefined when they became outdated before all were done.
 */
async function runVerificationChecks(
  connection: ClusterConnection,
  target: VerifyTarget,
  checks: Check[],
  outdated: () => Promise<boolean>
): Promise<CheckResult[] | undefined> {
  const { node } = target;
  const pod = verificationPod(target, checks, await readProbeKey(connection));
  await startVerificationPod(connection, pod, target);
  const message = await waitForOutcome(connection, pod, outdated);
  await removeOneShotPod(connection, oneShotPodName(pod));
  if (message === undefined) return undefined;
  const results = parseCheckResults(message);
  if (results !== undefined) return results;
  throw failure(
    'VerificationFailed',
    `the prober on ${node} reported no outcome of its checks: ${message.slice(0, 200)}; check its image`,
    { retryable: true }
  );
}

/**
 * Starts a verification pod on a node, and waits for its address. Replaces it while it gets an address of the other
 * network, because the runtime may not have read the new CNI file yet.
 * @throws WrongNetwork when new pods keep getting addresses of the other network.
 */
async function startVerificationPod(
  connection: ClusterConnection,
  pod: OneShotPod,
  { node, targetPodCidr, expected }: VerifyTarget
): Promise<void> {
  const deadline = Date.now() + wrongNetworkToleranceMs;
  for (;;) {
    await startOneShotPod(connection, pod);
    const address = await waitForAddress(connection, pod);
    if (contains(targetPodCidr, address) === (expected === 'cilium')) return;
    if (Date.now() > deadline) {
      const network = expected === 'cilium' ? `which is not in ${targetPodCidr}` : "which is still one of Cilium's";
      throw failure(
        'WrongNetwork',
        `a new pod on ${node} got the address ${address}, ${network}; check /etc/cni/net.d on the node`
      );
    }
  }
}

const addressAdvice =
  "check this pod's events; a node that joined after the cutover may lack CNI plugins that Canal's installer wrote to the others";

async function waitForAddress(connection: ClusterConnection, pod: OneShotPod): Promise<string> {
  return waitForOneShotPod(
    connection,
    pod,
    (current) => {
      const { ip } = podFacts(current);
      return ip === undefined ? { waitingFor: `the address of ${describePod(pod)}` } : { done: ip };
    },
    { timeoutMs: 120_000, intervalMs: 300, onTimeout: 'NodeNotReady', advice: addressAdvice }
  );
}

/** Waits for the pod's termination message; returns undefined when its checks became outdated before. */
async function waitForOutcome(
  connection: ClusterConnection,
  pod: OneShotPod,
  outdated: () => Promise<boolean>
): Promise<string | undefined> {
  let nextPeerPollMs = Date.now() + peerPollIntervalMs;
  return waitForOneShotPod(
    connection,
    pod,
    async (current) => {
      const terminated = terminatedContainer(current);
      if (terminated !== undefined) return { done: terminated.message ?? '' };
      if (Date.now() >= nextPeerPollMs) {
        if (await outdated()) return { done: undefined };
        nextPeerPollMs = Date.now() + peerPollIntervalMs;
      }
      return { waitingFor: `the checks of ${describePod(pod)}` };
    },
    {
      timeoutMs: (checkTimeoutSeconds + 60) * 1_000,
      intervalMs: 500,
      onTimeout: 'VerificationFailed',
      advice: "check this pod's log",
    }
  );
}

function describePod(pod: OneShotPod): string {
  return `pod ${namespace}/${oneShotPodName(pod)} on ${pod.node}`;
}

/**
 * Describes the pod that verifies a node's network.
 * @param key key of the probers; any is valid for a dry run.
 */
export function verificationPod(
  { node, proberImage }: Pick<VerifyTarget, 'node' | 'proberImage'>,
  checks: readonly Check[],
  key: string
): OneShotPod {
  return {
    app: 'verify',
    node,
    container: {
      name: 'check',
      image: proberImage,
      args: ['check'],
      env: [
        { name: 'CHECKS', value: JSON.stringify(checks) },
        { name: 'DEADLINE_SECONDS', value: String(checkTimeoutSeconds) },
        { name: 'PROBE_KEY', value: key },
        { name: 'POD_IP', valueFrom: { fieldRef: { fieldPath: 'status.podIP' } } },
      ],
      securityContext: unprivileged,
      resources: limitedMemory('128Mi'),
    },
  };
}
