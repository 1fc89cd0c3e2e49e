/**
 * The arguments that each activity accepts, and whether it changes the cluster. Anyone who reaches Temporal's frontend can
 * request an activity with arguments of their own: these are checked once more, directly before the activity runs.
 */
import { z } from 'zod';
import type { FleetActivities } from '../../activities/cluster/migration-outcomes.ts';
import type { Activities } from '../../activities/index.ts';
import { maxClusters } from '../../model/fleet-input.ts';
import { gatesSchema } from '../../model/gates.ts';
import {
  chartDigestPattern,
  chartSchema,
  chartVersionSchema,
  cidrSchema,
  clusterNameSchema,
  drainSchema,
  imageSchema,
  inputSchema,
} from '../../model/input.ts';
import { ledgerSchema } from '../../model/ledger-options.ts';
import { ledgerStages } from '../../model/ledger.ts';
import { windowSchema } from '../../model/maintenance-windows.ts';
import { nodeNameSchema, podKeySchema } from '../../model/object-names.ts';
import { releaseSteps } from '../../model/planned-release.ts';
import { checkNames } from '../../model/preflight.ts';
import { remainingWork } from '../../model/remaining-nodes.ts';

/** Activities that a worker runs. */
export type AllActivities = Activities & FleetActivities;

/** Name of an activity. */
export type ActivityName = keyof AllActivities;

type Argument<Name extends ActivityName> = Parameters<AllActivities[Name]>[0];

/** Rule of an activity with this argument. */
interface ActivityRule<Input> {
  /** True for an activity that may write to the cluster: it runs only for the holder of the cluster's lock. */
  changes: boolean;
  /** Schema of each field of its argument, also of those that are optional. */
  fields: { readonly [Field in keyof Input]-?: z.ZodType<Input[Field]> };
}

/** Maximum number of nodes, or of pods, in one argument. */
const maxNames = 50_000;

const network = z.enum(['canal', 'cilium']);
const text = z.string().max(1_000_000);
const shortText = z.string().max(1_000);
const milliseconds = z.number().min(0);
const nodes = z.array(nodeNameSchema).max(maxNames);
const expected = z.record(z.string().max(300), z.string().nullable());
const values = z.record(z.string(), z.json());
const chartDigest = z.string().regex(chartDigestPattern);
const run = { workflowId: z.string().min(1).max(1_000), runId: z.string().min(1).max(100) };
const decision = z.strictObject({
  by: shortText,
  reason: z.string().max(10_000),
  at: z.iso.datetime(),
  planDigest: shortText.exactOptional(),
  namesPlan: z.literal(true).exactOptional(),
  principal: shortText.optional(),
  object: shortText.optional(),
});
const approvedStep = z.union([z.enum(['plan', 'cutover', 'cleanup']), z.templateLiteral(['node/', z.string()])]);
const remainingNode = z.strictObject({
  node: nodeNameSchema,
  since: z.iso.datetime(),
  work: z.array(z.enum(remainingWork)).max(remainingWork.length),
  skipped: decision.exactOptional(),
});

const cluster = { cluster: clusterNameSchema };
const node = { ...cluster, node: nodeNameSchema };
const targetNetwork = { ...cluster, targetPodCidr: cidrSchema };
const input = { input: inputSchema };

/** The rule of every activity. */
export const activityRules: { readonly [Name in ActivityName]: ActivityRule<Argument<Name>> } = {
  // The request is checked by the activity itself, which returns every problem of it.
  resolveRequest: { changes: false, fields: { request: z.unknown().optional() } },
  inspectCluster: { changes: false, fields: cluster },
  findApprovals: {
    changes: false,
    fields: { ...cluster, steps: z.array(approvedStep).max(maxNames), planDigest: shortText },
  },
  recordPointOfNoReturn: { changes: true, fields: { ...cluster, approval: decision } },
  recordRollback: { changes: true, fields: { ...cluster, rollback: decision } },
  removeRollbackRecord: { changes: true, fields: cluster },
  recordUnfinished: {
    changes: true,
    fields: {
      ...cluster,
      record: z.strictObject({ onlyNodes: z.boolean(), nodes: z.array(remainingNode).max(maxNames) }),
    },
  },
  acquireLock: { changes: true, fields: { ...cluster, ...run } },
  releaseLock: { changes: true, fields: { ...cluster, ...run } },
  comparePolicies: { changes: false, fields: input },
  readMigrationOutcomes: { changes: false, fields: { runs: z.array(z.strictObject(run)).max(maxClusters) } },

  // It runs pods on the nodes.
  runPreflight: { changes: true, fields: { ...input, only: z.array(z.enum(checkNames)).exactOptional() } },
  removeInspectors: { changes: true, fields: cluster },
  planDetails: {
    changes: false,
    fields: { ...input, nodes, values: z.record(z.enum(releaseSteps), values).exactOptional() },
  },
  dryRunRelease: { changes: false, fields: { ...input, values } },
  dryRunNode: { changes: false, fields: { ...input, node: nodeNameSchema } },
  dryRunCleanup: { changes: false, fields: cluster },

  deployProbers: { changes: true, fields: { ...targetNetwork, proberImage: imageSchema, ledger: ledgerSchema } },
  // It writes the snapshot into a ConfigMap.
  snapshotLedger: {
    changes: true,
    fields: { ...cluster, stage: z.enum(ledgerStages), seconds: z.number().min(0).max(2_678_400) },
  },
  readLedger: { changes: false, fields: cluster },
  checkGates: {
    changes: false,
    fields: { ...cluster, gates: gatesSchema, sinceMs: milliseconds, nodes: nodes.exactOptional() },
  },

  applyCniChain: { changes: true, fields: cluster },
  applyHelmRelease: {
    changes: true,
    fields: {
      ...cluster,
      chart: chartSchema,
      version: chartVersionSchema,
      chartDigest: chartDigest.optional(),
      values,
      planned: z
        .strictObject({ step: z.enum(releaseSteps), chartDigest, manifests: shortText.exactOptional() })
        .exactOptional(),
    },
  },
  checkCiliumConfig: { changes: false, fields: { ...cluster, expected } },
  // It replaces outdated agents.
  waitForAgents: { changes: true, fields: cluster },
  restartOutdatedAgent: { changes: true, fields: node },
  applyNodeConfig: { changes: true, fields: cluster },
  removeNodeConfig: { changes: true, fields: cluster },
  deployNatExemption: {
    changes: true,
    fields: { ...targetNetwork, sourcePodCidr: cidrSchema, coexistenceImage: imageSchema },
  },
  deployIdentityBridge: { changes: true, fields: { ...targetNetwork, coexistenceImage: imageSchema } },
  restoreHelpers: { changes: true, fields: { ...input, sourcePodCidr: cidrSchema } },
  requireIdentityBridge: { changes: false, fields: node },
  removeIdentityBridge: { changes: true, fields: targetNetwork },
  applyTranslatedPolicies: { changes: true, fields: input },

  untilFit: { changes: false, fields: { windows: z.array(windowSchema).max(50), durationMs: milliseconds } },
  observeNodes: {
    changes: false,
    fields: { ...targetNetwork, known: shortText.exactOptional(), pods: nodes.exactOptional() },
  },
  nodeNames: { changes: false, fields: cluster },
  waitForNodeChange: {
    changes: false,
    fields: {
      ...cluster,
      known: z.array(z.strictObject({ name: nodeNameSchema, ready: z.boolean() })).max(maxNames),
    },
  },

  observeNode: { changes: false, fields: node },
  cordonNode: { changes: true, fields: { ...node, to: network.exactOptional() } },
  uncordonNode: { changes: true, fields: node },
  drainNode: {
    changes: true,
    fields: {
      ...node,
      to: network,
      targetPodCidr: cidrSchema,
      daemonSets: z.boolean(),
      options: drainSchema,
      forcedPods: z.array(podKeySchema).max(maxNames),
      roundSeconds: z.number().min(0).max(86_400),
    },
  },
  flipNode: { changes: true, fields: node },
  revertNodeFlip: { changes: true, fields: node },
  restoreSourceCni: { changes: true, fields: node },
  waitForReboot: { changes: false, fields: { ...node, deadlineMs: milliseconds } },
  // It runs a pod on the node.
  verifyNode: {
    changes: true,
    fields: { ...node, targetPodCidr: cidrSchema, proberImage: imageSchema, expected: network },
  },
  // It runs a privileged pod on the node.
  collectDiagnostics: { changes: true, fields: { ...node, reason: text } },

  keepCanalOffNewNodes: { changes: true, fields: cluster },
  letCanalOnAllNodes: { changes: true, fields: cluster },
  restartOutdatedOperator: { changes: true, fields: cluster },
  verifyBeforeRemoval: { changes: false, fields: { ...targetNetwork, expected } },
  verifyBeforeUninstall: { changes: false, fields: targetNetwork },

  requireAllPodsOnTarget: { changes: false, fields: targetNetwork },
  exportCalico: { changes: true, fields: cluster },
  exportCilium: { changes: true, fields: cluster },
  removeCanal: { changes: true, fields: cluster },
  removeCanalTraces: { changes: true, fields: cluster },
  uninstallCilium: { changes: true, fields: cluster },
  removeCiliumTraces: { changes: true, fields: cluster },
  cleanHost: { changes: true, fields: { ...node, traces: network, coexistenceImage: imageSchema } },
  removeHelpers: { changes: true, fields: cluster },
};

/** Returns true for the name of an activity of this service. */
export function isActivityName(name: string): name is ActivityName {
  return Object.hasOwn(activityRules, name);
}
