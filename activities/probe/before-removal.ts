import type { KubernetesObject, V1Node } from '@kubernetes/client-node';
import { Context } from '@temporalio/activity';
import { flipLabel } from '../../model/names.ts';
import { contains } from '../../model/networks.ts';
import {
  boundFindings,
  type RemovalFinding,
  type RemovalVerification,
  type UninstallVerification,
} from '../../model/removal-findings.ts';
import { maxRemainingNodes } from '../../model/remaining-nodes.ts';
import { listAgentStates, operatorName, type AgentState } from '../cilium/agents.ts';
import { isBridgeEndpoint, podUidOf } from '../cilium/bridge-endpoints.ts';
import { configName, findConfigDifferences, readCiliumConfig } from '../cilium/config.ts';
import { listOutdatedOperators } from '../cilium/operator.ts';
import { listKnown } from '../kubernetes/apply.ts';
import { isReady, isSilent } from '../kubernetes/conditions.ts';
import type { ClusterConnection } from '../kubernetes/connection.ts';
import { ifFound } from '../kubernetes/errors.ts';
import { ciliumNamespace, cordonedAnnotation } from '../kubernetes/names.ts';
import { listNodes } from '../kubernetes/nodes.ts';
import type { OnCluster } from '../kubernetes/on-cluster.ts';
import { listPods, type PodFacts } from '../kubernetes/pods.ts';
import { isOnSource, podAddress } from '../node/source-pods.ts';
import { findNodesWithoutNetwork } from './joined-nodes.ts';

/** Input of `verifyBeforeRemoval`. */
export interface RemovalTarget {
  cluster: string;
  targetPodCidr: string;
  /** Final configuration of Cilium: values by key of `cilium-config`; null for a key that must be missing. */
  expected: Readonly<Record<string, string | null>>;
}

/** Number of times that the cluster is read before something that does not hold is returned, and the interval in ms. */
const maxReads = 3;
const readIntervalMs = 10_000;

/** Creates the activities that verify directly before a network is removed. */
export function createRemovalVerificationActivities(onCluster: OnCluster) {
  return {
    /**
     * Verifies directly before Canal is removed that nothing uses it any more: each pod with a network has an address of
     * the target and a CiliumEndpoint of an agent with this address, each node is Ready with a ready agent, each node that
     * joined after the cutover gives our pod a network, and agents, operator and ConfigMap have the final configuration. A
     * migrated node that is switched off, without a pod on Canal, does not keep Canal from being removed: it is returned, to
     * be cleaned when it is back. Pods change all the time, so that only what does not hold at each of some reads is
     * returned. It changes nothing, and does not fail because of what it finds.
     */
    verifyBeforeRemoval: onCluster(
      'verify that nothing uses Canal',
      async (connection, target: RemovalTarget): Promise<RemovalVerification> => {
        let silent: string[] = [];
        const findings = await readUntilNothing(async () => {
          const seen = await findBeforeRemoval(connection, target);
          silent = seen.silent;
          return seen.findings;
        });
        return { ...boundFindings(findings), ...(silent.length > 0 && { silent }) };
      }
    ),

    /**
     * Verifies directly before Cilium is uninstalled that no pod uses it any more: none has an address of the target, or a
     * CiliumEndpoint of an agent. It changes nothing, and does not fail because of what it finds.
     * @returns also the nodes of these pods, which have to be rolled back, whether a migration labelled them or not.
     */
    verifyBeforeUninstall: onCluster(
      'verify that nothing uses Cilium',
      async (
        connection,
        { targetPodCidr }: { cluster: string; targetPodCidr: string }
      ): Promise<UninstallVerification> => {
        const findings = await readUntilNothing(() => findPodsOnTarget(connection, targetPodCidr));
        const nodes = new Set(findings.flatMap(({ node }) => node ?? []));
        return { ...boundFindings(findings), nodes: [...nodes].sort() };
      }
    ),
  };
}

/** Repeats a read until it finds nothing; returns what the last one found of what each one found. */
async function readUntilNothing(read: () => Promise<RemovalFinding[]>): Promise<RemovalFinding[]> {
  let findings = await read();
  for (let reads = 1; reads < maxReads && findings.length > 0; reads++) {
    await Context.current().sleep(readIntervalMs);
    const before = new Set(findings.map(keyOf));
    findings = (await read()).filter((finding) => isLasting(finding) || before.has(keyOf(finding)));
  }
  return findings;
}

function keyOf({ kind, subject }: RemovalFinding): string {
  return `${kind} ${subject}`;
}

/** Returns true for a finding that counts even when it is new: a pod that is cut off does not recover. */
function isLasting({ kind }: RemovalFinding): boolean {
  return kind === 'PodOnRemovedNetwork';
}

async function findBeforeRemoval(
  connection: ClusterConnection,
  { targetPodCidr, expected }: RemovalTarget
): Promise<{ findings: RemovalFinding[]; silent: string[] }> {
  const pods = await listPods(connection);
  const endpoints = await readAgentEndpoints(connection);
  const withNetwork = pods.filter((pod) => !pod.finished && podAddress(pod) !== undefined);
  const agents = await findAgents(connection, pods, targetPodCidr);
  const findings = [
    ...withNetwork.filter((pod) => isOnSource(pod, targetPodCidr)).map(onSource),
    ...withNetwork
      .filter((pod) => !isOnSource(pod, targetPodCidr) && endpoints.get(pod.uid) !== podAddress(pod))
      .map((pod) => withoutEndpoint(pod, endpoints.get(pod.uid))),
    ...agents.findings,
    ...(await findNodesWithoutNetwork(connection, { ...agents, pods })),
    ...(await findConfiguration(connection, expected)),
  ];
  return { findings, silent: agents.silent };
}

function onSource(pod: PodFacts): RemovalFinding {
  const reason = `it has the address ${podAddress(pod)} of Canal, and would lose its network; recreate it`;
  return { kind: 'PodOnRemovedNetwork', subject: pod.key, node: pod.node, reason };
}

function withoutEndpoint(pod: PodFacts, endpoint: string | undefined): RemovalFinding {
  const found = endpoint === undefined ? 'no CiliumEndpoint' : `a CiliumEndpoint with the address ${endpoint}`;
  const reason = `it has the address ${podAddress(pod)} and ${found}; check the agent of its node, or recreate it`;
  return { kind: 'PodWithoutEndpoint', subject: pod.key, node: pod.node, reason };
}

async function findAgents(
  connection: ClusterConnection,
  pods: readonly PodFacts[],
  targetPodCidr: string
): Promise<{ findings: RemovalFinding[]; silent: string[]; nodes: V1Node[]; agents: AgentState[] }> {
  const states = (await ifFound(listAgentStates(connection))) ?? [];
  const agents = new Map(states.map((agent) => [agent.node, agent]));
  const nodes = await listNodes(connection);
  const nodesOnSource = new Set(pods.filter((pod) => isOnSource(pod, targetPodCidr)).map(({ node }) => node));
  const silent = nodes
    .filter((node) => isMigratedAndSilent(node, nodesOnSource))
    .map(nameOf)
    .sort()
    .slice(0, maxRemainingNodes);
  const ofNodes = nodes.flatMap((node) => {
    const name = nameOf(node);
    if (silent.includes(name)) return [];
    return isReady(node) ? findAgent(name, agents.get(name)) : [notReady(name)];
  });
  return { findings: ofNodes.sort((a, b) => a.subject.localeCompare(b.subject)), silent, nodes, agents: states };
}

const nameOf = ({ metadata }: V1Node): string => metadata?.name ?? '';

/**
 * Returns true for a node without which Canal can be removed: it was migrated, its kubelet has been silent for a minute, and
 * none of its pods is on Canal. A pod that it starts when it is back gets its network from Cilium: its CNI file is Cilium's.
 * Of a kubelet that reports, it would not be certain.
 * @param nodesOnSource names of the nodes with pods on Canal.
 * @param nowMs in ms since the epoch.
 */
export function isMigratedAndSilent(node: V1Node, nodesOnSource: ReadonlySet<string>, nowMs?: number): boolean {
  const { labels = {}, annotations = {} } = node.metadata ?? {};
  const isMigrated = labels[flipLabel] === 'true' && annotations[cordonedAnnotation] === undefined;
  return isMigrated && isSilent(node, nowMs) && !nodesOnSource.has(nameOf(node));
}

function notReady(node: string): RemovalFinding {
  const reason = 'it is not Ready, so that it is not certain which network its pods use';
  return { kind: 'NodeNotReady', subject: node, node, reason };
}

function findAgent(node: string, agent: AgentState | undefined): RemovalFinding[] {
  if (agent === undefined)
    return [{ kind: 'AgentNotReady', subject: node, node, reason: 'it has no agent of Cilium; check the DaemonSet' }];
  const subject = agent.pod;
  if (!agent.ready) return [{ kind: 'AgentNotReady', subject, node, reason: 'it is not ready; check its log' }];
  if (!agent.outdated) return [];
  return [{ kind: 'AgentOutdated', subject, node, reason: 'it is older than its configuration; restart it' }];
}

const missingOperator: RemovalFinding = {
  kind: 'AgentNotReady',
  subject: `${ciliumNamespace}/${operatorName}`,
  reason: "Cilium's operator or its configuration does not exist; install Cilium again",
};

async function findConfiguration(
  connection: ClusterConnection,
  expected: Readonly<Record<string, string | null>>
): Promise<RemovalFinding[]> {
  const outdated = await ifFound(listOutdatedOperators(connection));
  const operators = (outdated ?? []).map(({ metadata, spec }): RemovalFinding => ({
    kind: 'AgentOutdated',
    subject: `${ciliumNamespace}/${metadata?.name}`,
    ...(spec?.nodeName !== undefined && { node: spec.nodeName }),
    reason: 'it is older than its configuration; restart it',
  }));
  const differences = findConfigDifferences(await readCiliumConfig(connection), expected);
  const subject = `${ciliumNamespace}/${configName}`;
  return [
    ...operators,
    ...(outdated === undefined ? [missingOperator] : []),
    ...differences.map((reason): RemovalFinding => ({ kind: 'Configuration', subject, reason })),
  ];
}

async function findPodsOnTarget(connection: ClusterConnection, targetPodCidr: string): Promise<RemovalFinding[]> {
  const pods = (await listPods(connection)).filter((pod) => !pod.finished && !pod.hostNetwork);
  const endpoints = await readAgentEndpoints(connection);
  return pods.flatMap((pod): RemovalFinding[] => {
    const { key: subject, node } = pod;
    const address = podAddress(pod);
    const lose = 'and would lose its network; recreate it on Canal';
    if (contains(targetPodCidr, address))
      return [
        { kind: 'PodOnRemovedNetwork', subject, node, reason: `it has the address ${address} of Cilium, ${lose}` },
      ];
    if (!endpoints.has(pod.uid)) return [];
    return [{ kind: 'PodWithEndpoint', subject, node, reason: `it has a CiliumEndpoint of an agent, ${lose}` }];
  });
}

type Endpoint = KubernetesObject & { status?: { networking?: { addressing?: { ipv4?: string }[] } } };

/** Returns the addresses of the CiliumEndpoints that agents wrote, by the UID of the pod; the bridge's are not included. */
async function readAgentEndpoints(connection: ClusterConnection): Promise<Map<string, string>> {
  const endpoints = await listKnown<Endpoint>(connection, 'cilium.io/v2', 'CiliumEndpoint');
  return new Map(
    endpoints
      .filter((endpoint) => !isBridgeEndpoint(endpoint))
      .flatMap((endpoint) => {
        const uid = podUidOf(endpoint);
        return uid === undefined ? [] : [[uid, endpoint.status?.networking?.addressing?.[0]?.ipv4 ?? ''] as const];
      })
  );
}
