import { cancelled, heartbeat } from '@temporalio/activity';
import { ApplicationFailure } from '@temporalio/common';
import type { Activities } from '../../activities/index.ts';
import { notYet } from '../../activities/support/not-yet.ts';
import { createRequestActivities } from '../../activities/plan/resolve-request.ts';
import type { Network } from '../../model/network.ts';
import { computeBucket, differingBuckets, computeDigest } from '../../model/node-digest.ts';
import { groupNodes, type NodeFacts } from '../../model/nodes.ts';
import type { PlannedRelease } from '../../model/planned-release.ts';
import type { PolicyReport } from '../../model/policies.ts';
import type { UnfinishedRecord } from '../../model/remaining-nodes.ts';
import type { RemovalFinding } from '../../model/removal-findings.ts';
import type { CheckOutcome } from '../../model/preflight.ts';
import type { ClusterFacts } from '../../model/cluster-facts.ts';
import { findFit } from '../../model/maintenance-windows.ts';
import type { ApprovalMode } from '../../model/migration-approval.ts';
import type { Decision } from '../../model/decision.ts';
import type { Blocker } from '../../model/status.ts';

/** A node of the fake. */
export interface FakeNode {
  name: string;
  controlPlane: boolean;
  hostsWorker: boolean;
  ready: boolean;
  cordoned: false | 'by us' | 'by others';
  flipped: boolean;
  /** Network of its pods. */
  pods: Network;
  /** Network of its new pods. */
  cni: Network;
  /** True when a new pod on it was verified since its flip. */
  verified: boolean;
  bootId: number;
}

/** Options of {@link fakeCluster}. */
interface FakeOptions {
  nodes?: (string | (Partial<FakeNode> & { name: string }))[];
  facts?: Partial<ClusterFacts>;
  /** Outcomes of the checks. */
  checks?: CheckOutcome[];
  /** Returns the report about policies. */
  policies?: () => PolicyReport;
  /** Called before an activity takes effect; may throw, or take time. */
  before?: (activity: string, node: string | undefined) => void | Promise<void>;
  /** Returns the pods that a round of a drain leaves. */
  left?: (node: string, forcedPods: readonly string[]) => Blocker[];
  /** Returns what does not hold before Canal is removed. */
  removalFindings?: () => RemovalFinding[];
  /** Returns the migrated nodes that are switched off then. */
  silentNodes?: () => string[];
  /** Returns what the chart is and renders at the moment. */
  release?: () => PlannedRelease;
  /** Lets time pass in a round that leaves pods. */
  pass?: (seconds: number) => Promise<unknown>;
  /**
   * What proves an approval.
   * @default signal
   */
  approvals?: ApprovalMode;
}

/** What the chart of a fake is and renders. */
export const plannedRelease: PlannedRelease = {
  chartDigest: `sha256:${'a'.repeat(64)}`,
  manifests: { coexistence: 'b'.repeat(64), cutover: 'c'.repeat(64), final: 'd'.repeat(64) },
};

const noPolicies: PolicyReport = { counts: {}, flows: 0, equal: 0, policies: [], more: 0 };

/**
 * Returns a cluster as far as workflows see it: the received calls, their order, and the resulting state of the nodes.
 * It replaces the activities in tests of the workflows' own logic; the activities are tested against a real API server.
 * It records violations of rules that must always hold, so that every test of a workflow checks those too.
 */
export function fakeCluster({
  nodes = ['a', 'b', 'c'],
  facts = {},
  checks = [{ check: 'kernel', verdict: 'pass', evidence: [], ms: 1 }],
  policies,
  before,
  left,
  removalFindings,
  silentNodes,
  release,
  pass,
  approvals,
}: FakeOptions = {}) {
  const calls: string[] = [];
  const broken: string[] = [];
  const state = new Map<string, FakeNode>();
  const system = {
    canal: true,
    installed: facts.ciliumOwnsCni ?? false,
    ciliumOwnsCni: facts.ciliumOwnsCni ?? false,
    helpers: false,
    bridge: false,
    /** True while Canal starts on no new node. */
    canalKeptOff: false,
    /** True when nothing that uses the network to be removed was found. */
    removalVerified: false,
    lock: '',
    /** Users of the cluster who have approved a step, by step. */
    approvals: new Map<string, string>(),
    /** Approval of Canal's removal, recorded in the cluster. */
    noReturn: undefined as Decision | undefined,
    /** Request of a rollback of all nodes, recorded in the cluster until it is complete. */
    rollbackBegun: undefined as Decision | undefined,
    /** Record of the nodes without which a run has ended. */
    unfinished: undefined as UnfinishedRecord | undefined,
  };
  const add = (node: Partial<FakeNode> & { name: string }): void => {
    const defaults = { controlPlane: false, hostsWorker: false, ready: true, cordoned: false as const, bootId: 1 };
    const flipped = node.flipped ?? false;
    const network = flipped ? 'cilium' : 'canal';
    state.set(node.name, { ...defaults, flipped, verified: flipped, pods: network, cni: network, ...node });
  };
  for (const node of nodes) add(typeof node === 'string' ? { name: node } : node);

  async function call(activity: string, node?: string): Promise<void> {
    await before?.(activity, node);
    calls.push(node === undefined ? activity : `${activity} ${node}`);
  }
  const requireRule = (holds: boolean, rule: string): void => {
    if (!holds) broken.push(rule);
  };
  const requireLock = (change: string): void => requireRule(system.lock !== '', `${change} without the lock`);
  const get = (name: string): FakeNode => {
    const node = state.get(name);
    if (node === undefined) throw permanent('NodeNotReady', `the cluster has no node ${name} any more`);
    return node;
  };
  const onNode = (activity: string, effect: (node: FakeNode) => void = () => undefined) => {
    return async ({ node: name }: { node: string }): Promise<void> => {
      await call(activity, name);
      effect(get(name));
    };
  };
  const onCluster = (activity: string, effect: () => void = () => undefined) => {
    return async (): Promise<void> => {
      await call(activity);
      effect();
    };
  };
  /** Returns an activity that leaves out no node. */
  const onEveryNode = (activity: string, effect: () => void = () => undefined) => {
    return async (): Promise<string[]> => {
      await call(activity);
      effect();
      return [];
    };
  };
  const mayRollBack = (): boolean => system.canal && system.noReturn === undefined;
  const allOnCilium = (): boolean => [...state.values()].every((node) => node.pods === 'cilium' && node.flipped);

  const activities: Activities = {
    inspectCluster: async () => {
      await call('inspectCluster');
      return {
        kubernetesVersion: 'v1.36.3',
        ...(system.canal && { canal: { version: 'v3.28.5', podCidr: '10.244.0.0/16', vni: 1, port: 8472 } }),
        leftovers: !system.canal && system.helpers,
        ...(system.noReturn && { pointOfNoReturn: system.noReturn }),
        ...(system.rollbackBegun && { rollbackBegun: system.rollbackBegun }),
        ...(system.unfinished && { unfinished: system.unfinished }),
        ...facts,
        ciliumOwnsCni: system.ciliumOwnsCni,
      };
    },
    findApprovals: async ({ steps }) => {
      await call('findApprovals', steps.join());
      const approvals = steps.flatMap((step) => {
        const principal = system.approvals.get(step);
        return principal === undefined ? [] : [{ step, principal, object: `approval-of-${step}` }];
      });
      const problem = approvals.length < steps.length ? 'no MigrationApproval in the cluster' : undefined;
      return { approvals, ...(problem !== undefined && { problem }) };
    },
    acquireLock: async ({ workflowId }) => {
      await call('acquireLock');
      requireRule(system.lock === '' || system.lock === workflowId, 'two migrations at once');
      system.lock = workflowId;
    },
    releaseLock: async ({ workflowId }) => {
      await call('releaseLock');
      if (system.lock === workflowId) system.lock = '';
    },
    resolveRequest: createRequestActivities(undefined, undefined, () => approvals ?? 'signal').resolveRequest,
    recordPointOfNoReturn: async ({ approval }) => {
      await call('recordPointOfNoReturn');
      requireLock('the point of no return recorded');
      requireRule(system.ciliumOwnsCni && allOnCilium(), 'the point of no return passed before the cutover');
      requireRule(
        system.removalVerified || system.noReturn !== undefined,
        'the point of no return without a verification'
      );
      system.noReturn ??= approval;
    },
    recordRollback: async ({ rollback }) => {
      await call('recordRollback');
      requireLock('a rollback recorded');
      requireRule(mayRollBack(), 'a rollback begun after the point of no return');
      system.rollbackBegun ??= rollback;
    },
    removeRollbackRecord: onCluster('removeRollbackRecord', () => {
      requireLock('the record of a rollback removed');
      system.rollbackBegun = undefined;
    }),
    recordUnfinished: async ({ record }) => {
      await call('recordUnfinished');
      requireLock('remaining nodes recorded');
      const nodes = record.nodes.filter(({ skipped }) => skipped !== undefined);
      system.unfinished = nodes.length === 0 ? undefined : { ...record, nodes };
    },
    untilFit: async ({ windows, durationMs }) => {
      await call('untilFit');
      return findFit(windows, durationMs, new Date());
    },
    applyCniChain: onCluster('applyCniChain'),
    applyHelmRelease: async ({ values, planned }) => {
      await call('applyHelmRelease');
      const { chartDigest } = release?.() ?? plannedRelease;
      if (planned !== undefined && planned.chartDigest !== chartDigest)
        throw permanent('PlanChanged', `the chart has the digest ${chartDigest}`);
      const owns = (values['cni'] as { customConf: boolean }).customConf === false;
      const final = (values['updateStrategy'] as { type: string }).type === 'RollingUpdate';
      calls.push(final ? 'final values' : owns ? 'cutover values' : 'coexistence values');
      requireLock('Cilium installed');
      requireRule(!owns || allOnCilium(), 'cut over before every pod is on the target network');
      requireRule(!owns || system.canalKeptOff || !system.canal, 'cut over while Canal starts on new nodes');
      requireRule(owns || mayRollBack(), 'returned to coexistence after the point of no return');
      system.installed = true;
      system.ciliumOwnsCni = owns;
    },
    uninstallCilium: onCluster('uninstallCilium', () => {
      requireLock('Cilium uninstalled');
      requireRule(system.rollbackBegun !== undefined, 'Cilium uninstalled without a record of the rollback');
      requireRule(mayRollBack(), 'Cilium uninstalled after the point of no return');
      requireRule(
        [...state.values()].every((node) => node.pods === 'canal' && node.cni === 'canal'),
        'Cilium removed under its pods'
      );
      requireRule(system.removalVerified, 'Cilium uninstalled without a verification');
      requireRule(!system.canalKeptOff, 'Cilium uninstalled while Canal does not start on new nodes');
      system.installed = false;
      system.ciliumOwnsCni = false;
    }),
    checkCiliumConfig: onCluster('checkCiliumConfig'),
    waitForAgents: onEveryNode('waitForAgents'),
    restartOutdatedAgent: onNode('restartOutdatedAgent'),
    restartOutdatedOperator: onCluster('restartOutdatedOperator'),
    keepCanalOffNewNodes: onCluster('keepCanalOffNewNodes', () => (system.canalKeptOff = true)),
    letCanalOnAllNodes: onCluster('letCanalOnAllNodes', () => (system.canalKeptOff = false)),
    applyNodeConfig: onCluster('applyNodeConfig'),
    removeNodeConfig: onCluster('removeNodeConfig'),
    runPreflight: async () => {
      await call('runPreflight');
      return [...checks];
    },
    removeInspectors: onCluster('removeInspectors'),
    planDetails: async ({ nodes: names }) => {
      await call('planDetails');
      const drains = names.map((node) => ({
        node,
        counts: { evicted: 3, recycled: 1, refused: 0 },
        evicted: ['shop/web-1'],
        recycled: ['shop/client-1'],
        refused: [],
        dataLost: [],
        graceSeconds: 15,
      }));
      return {
        changes: ['+ routingMode: "tunnel"'],
        objects: ['ConfigMap kube-system/cilium-config'],
        release: release?.() ?? plannedRelease,
        images: ['quay.io/cilium/cilium:v1.20.2'],
        drains,
      };
    },
    dryRunRelease: onCluster('dryRunRelease'),
    dryRunNode: async ({ node }) => {
      await call('dryRunNode', node);
      return { step: `migrate ${node}`, would: [`evict 3 pods`], problems: [] };
    },
    dryRunCleanup: async () => {
      await call('dryRunCleanup');
      return { step: 'cleanup', would: ['remove 9 objects'], problems: [] };
    },
    deployProbers: onEveryNode('deployProbers', () => {
      requireLock('probers deployed');
      requireRule(!system.installed || system.helpers, 'probers after Cilium: there is no baseline any more');
      system.helpers = true;
    }),
    deployNatExemption: onEveryNode('deployNatExemption', () => (system.helpers = true)),
    comparePolicies: async () => {
      await call('comparePolicies');
      return policies?.() ?? noPolicies;
    },
    applyTranslatedPolicies: async () => {
      await call('applyTranslatedPolicies');
      requireRule(system.installed, 'policies translated without Cilium');
      return policies?.() ?? noPolicies;
    },
    deployIdentityBridge: onCluster('deployIdentityBridge', () => {
      requireRule(system.installed, 'identities bridged without Cilium');
      system.bridge = true;
    }),
    restoreHelpers: onEveryNode('restoreHelpers'),
    requireIdentityBridge: onNode('requireIdentityBridge', () => {
      requireRule(system.bridge, 'a node to be flipped without the identity bridge');
    }),
    removeIdentityBridge: onCluster('removeIdentityBridge', () => {
      const networks = new Set([...state.values()].map(({ pods }) => pods));
      requireRule(networks.size < 2, 'the identity bridge removed while pods are on both networks');
      system.bridge = false;
    }),
    snapshotLedger: async ({ stage }) => {
      await call(`ledger ${stage}`);
      return [];
    },
    readLedger: async () => {
      await call('readLedger');
      return [];
    },
    collectDiagnostics: async ({ node }) => {
      await call('collectDiagnostics', node);
      return `cni-live-migration/diagnostics-${node}`;
    },
    checkGates: async ({ nodes: names }) => {
      await call('checkGates', names?.join());
    },
    removeHelpers: onEveryNode('removeHelpers', () => {
      system.helpers = system.unfinished !== undefined;
      if (!system.helpers) {
        system.noReturn = undefined;
        system.rollbackBegun = undefined;
      }
      for (const node of state.values()) node.flipped = false;
    }),
    observeNodes: async ({ known }) => {
      await call('observeNodes');
      const seen = [...state.values()].map(toNodeFacts);
      if (known === undefined) return { groups: groupNodes(seen) };
      const buckets = differingBuckets(known, computeDigest(seen));
      return { groups: groupNodes(seen.filter(({ name }) => buckets.includes(computeBucket(name)))), buckets };
    },
    observeNode: async ({ node }) => {
      await call('observeNode', node);
      return { flipped: get(node).flipped };
    },
    nodeNames: async () => {
      await call('nodeNames');
      return [...state.keys()];
    },
    waitForNodeChange: async ({ known }) => {
      await call('waitForNodeChange');
      const text = (list: { name: string; ready: boolean }[]): string =>
        JSON.stringify(list.map(({ name, ready }) => ({ name, ready })));
      if (text([...state.values()]) === text(known)) throw notYet('a change', checkIntervalMs);
    },
    waitForReboot: async ({ node }) => {
      await call('waitForReboot', node);
      if (get(node).bootId === 1) throw notYet('a reboot', checkIntervalMs);
    },
    cordonNode: onNode('cordonNode', (node) => {
      node.cordoned ||= 'by us';
    }),
    uncordonNode: onNode('uncordonNode', (node) => {
      requireRule(!node.flipped || node.verified, 'a flipped node uncordoned that was not verified');
      if (node.cordoned === 'by us') node.cordoned = false;
    }),
    drainNode: async ({ node: name, to, daemonSets, forcedPods, roundSeconds }) => {
      await call(`${daemonSets ? 'recycle' : 'drain'} to ${to}`, name);
      const node = get(name);
      requireRule(node.cordoned !== false || daemonSets, 'drained without a cordon');
      // Pods that are already on the right network do not concern a drain.
      const blockers = node.pods === to ? [] : (left?.(name, forcedPods) ?? []);
      if (blockers.length > 0 && roundSeconds > 0) await withHeartbeats(Promise.resolve(pass?.(roundSeconds)));
      if (blockers.length === 0 && daemonSets) node.pods = node.cni;
      if (daemonSets) requireRule(node.cni === to || blockers.length > 0, 'recycled onto the wrong network');
      return { left: blockers };
    },
    flipNode: onNode('flipNode', (node) => {
      requireRule(node.cordoned !== false, 'flipped without a cordon');
      requireRule(system.installed, 'flipped without Cilium');
      node.verified &&= node.flipped;
      node.flipped = true;
      node.cni = 'cilium';
    }),
    revertNodeFlip: onNode('revertNodeFlip', (node) => {
      requireRule(mayRollBack(), 'flip reverted after the point of no return');
      requireRule(node.cordoned !== false, 'flip reverted without a cordon');
      requireRule(!system.ciliumOwnsCni, 'flip reverted while Cilium owns the CNI of every node');
      node.verified = false;
      node.flipped = false;
    }),
    restoreSourceCni: onNode('restoreSourceCni', (node) => {
      requireRule(mayRollBack(), 'CNI file of Canal restored after the point of no return');
      requireRule(!node.flipped, 'CNI file taken from under an agent that writes it');
      node.cni = 'canal';
    }),
    cleanHost: async ({ node, traces }) => {
      await call('cleanHost', node);
      get(node);
      requireRule(
        !(traces === 'canal' ? system.canal : system.installed),
        `${traces} cleaned from a node that uses it`
      );
    },
    verifyNode: async ({ node, expected }) => {
      await call(`verify ${expected}`, node);
      if (get(node).cni !== expected) throw permanent('WrongNetwork', `${node} is on the other network`);
      get(node).verified ||= expected === 'cilium';
      return [];
    },
    verifyBeforeRemoval: async () => {
      await call('verifyBeforeRemoval');
      const findings = removalFindings?.() ?? [];
      system.removalVerified = findings.length === 0;
      const silent = silentNodes?.() ?? [];
      return { findings, more: 0, ...(silent.length > 0 && { silent }) };
    },
    verifyBeforeUninstall: async () => {
      await call('verifyBeforeUninstall');
      const users = [...state.values()].filter(({ pods }) => pods === 'cilium').map(({ name }) => name);
      system.removalVerified = users.length === 0;
      const findings = users.map((node) => ({
        ...{ kind: 'PodOnRemovedNetwork' as const, subject: `shop/web-${node}`, node, reason: 'it is on Cilium' },
      }));
      return { findings, more: 0, nodes: users };
    },
    requireAllPodsOnTarget: onCluster('requireAllPodsOnTarget', () => {
      if (!allOnCilium()) throw permanent('WrongNetwork', 'pods are left on Canal');
    }),
    exportCalico: async () => {
      await call('exportCalico');
      return ['kube-system/calico-export-0'];
    },
    exportCilium: async () => {
      await call('exportCilium');
      return { configMaps: [], total: 0, objects: [] };
    },
    removeCanal: onCluster('removeCanal', () => {
      requireLock('Canal removed');
      requireRule(system.ciliumOwnsCni && allOnCilium(), 'Canal removed before the cutover');
      requireRule(system.noReturn !== undefined, 'Canal removed without a record of the point of no return');
      system.canal = false;
    }),
    removeCanalTraces: onCluster('removeCanalTraces'),
    removeCiliumTraces: onCluster('removeCiliumTraces'),
  };

  function toNodeFacts(node: FakeNode): NodeFacts {
    const { name, controlPlane, hostsWorker, ready, flipped } = node;
    const cordonedByUs = node.cordoned === 'by us';
    return {
      name,
      controlPlane,
      hostsWorker,
      ready,
      flipped,
      cordonedByUs,
      podsOnSource: flipped && node.pods === 'canal' ? 3 : 0,
    };
  }

  /** Returns the names of cordoned nodes, regardless of who cordoned them. */
  const cordoned = (): string[] =>
    [...state.values()].filter((node) => node.cordoned !== false).map(({ name }) => name);
  return { activities, calls, broken, nodes: state, system, add, cordoned };
}

/** Interval between the checks of an activity that waits, in ms. */
const checkIntervalMs = 50;

/** Waits until the activity is cancelled. */
export async function waitForCancellation(): Promise<void> {
  await withHeartbeats(new Promise(() => undefined)).catch(() => undefined);
}

/** Waits as an activity does: with heartbeats, which deliver its cancellation. */
async function withHeartbeats<T>(work: Promise<T>): Promise<T> {
  heartbeat();
  const beat = setInterval(() => heartbeat(), 50);
  try {
    return await Promise.race([work, cancelled()]);
  } finally {
    clearInterval(beat);
  }
}

/** Returns a failure as an activity throws it. */
export function permanent(type: string, message: string): ApplicationFailure {
  return ApplicationFailure.nonRetryable(message, type);
}
