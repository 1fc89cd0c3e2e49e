/** Reason why a network must not be removed now. */
export type RemovalFindingKind =
  /** A pod has an address of the network that is to be removed. */
  | 'PodOnRemovedNetwork'
  /** A pod has no CiliumEndpoint of an agent, or one with another address. */
  | 'PodWithoutEndpoint'
  /** A pod has the CiliumEndpoint of an agent, although Cilium is to be removed. */
  | 'PodWithEndpoint'
  /** A node is not Ready, so that nothing about its pods is certain. */
  | 'NodeNotReady'
  /** A node has no agent, or one that is not ready. */
  | 'AgentNotReady'
  /** An agent or the operator runs with an older configuration. */
  | 'AgentOutdated'
  /** A node that joined after the cutover gives no pod a network, although its agent is ready. */
  | 'NodeWithoutNetwork'
  /** The configuration is not the final one. */
  | 'Configuration';

/** What does not hold before a network is removed. */
export interface RemovalFinding {
  kind: RemovalFindingKind;
  /** Name of the object: `namespace/name`, or the name of the node. */
  subject: string;
  /** Name of the node that it is on; undefined when it is on none. */
  node?: string;
  /** What does not hold, with what to do. */
  reason: string;
}

/** Result of the verification before a network is removed. */
export interface RemovalVerification {
  /** The first findings, the most serious kinds first; empty when everything holds. */
  findings: RemovalFinding[];
  /** Number of further findings. */
  more: number;
  /**
   * Names of migrated nodes that are switched off, sorted: nothing on them is on Canal, and they are cleaned when they are
   * back. Undefined without one.
   */
  silent?: string[];
}

/** Result of the verification before Cilium is uninstalled. */
export interface UninstallVerification extends RemovalVerification {
  /** Names of all nodes with pods on Cilium, sorted, with any labels. */
  nodes: string[];
}

/** Maximum number of findings that are named. */
const maxFindings = 50;

/** Returns the first findings of each kind in the order of the list, and the number of the others. */
export function boundFindings(findings: readonly RemovalFinding[]): RemovalVerification {
  return { findings: findings.slice(0, maxFindings), more: Math.max(0, findings.length - maxFindings) };
}

/** Maximum number of findings in a text. */
const maxFindingsInText = 10;

/** Returns the findings in one line. */
export function findingsText({ findings, more }: RemovalVerification): string {
  const shown = findings.slice(0, maxFindingsInText).map(({ subject, reason }) => `${subject}: ${reason}`);
  const others = findings.length - shown.length + more;
  return [...shown, ...(others > 0 ? [`and ${others} more`] : [])].join('; ');
}
