import { z } from 'zod';
import { isMalformed } from './malformed-payload.ts';
import { gatesSchema } from './gates.ts';
import { ledgerSchema } from './ledger-options.ts';
import { checkNames } from './preflight.ts';
import { untrustedProblems } from './input-limits.ts';
import { windowSchema } from './maintenance-windows.ts';
import { problemsOf } from './problems.ts';

/** A name as Kubernetes and kubeconfig files allow it, without anything that could be taken for a path or an option. */
const contextName = z
  .string()
  .min(1)
  .max(253)
  .regex(/^[A-Za-z0-9][A-Za-z0-9._@:/-]*$/, 'must be the name of a kubeconfig context');

const cidr = z.cidrv4({ error: 'must be an IPv4 CIDR such as 10.245.0.0/16' });

/** Consent for all pods, for none, or for those listed: `namespace/name`, `namespace/prefix*` or `namespace/*`. */
const consent = z.union([
  z.boolean(),
  z.array(z.string().regex(/^[a-z0-9-]+\/[a-z0-9.-]*\*?$/, 'must be namespace/name, namespace/prefix* or namespace/*')),
]);

const drainSchema = z
  .strictObject({
    /**
     * `evict`: pods leave the node before it is flipped. `recycle`: the node is flipped first and stays schedulable while
     * its pods are evicted, so that those bound to its local volumes come straight back. @default evict
     */
    mode: z.enum(['evict', 'recycle']).default('evict'),
    /**
     * Seconds that a node may take to become empty. A pod that ends is given its own grace period and 60 s, even where
     * that is longer. @default 900
     */
    timeoutSeconds: z.int().min(10).max(86_400).default(900),
    /** Consent that pods with emptyDir volumes are evicted and their data is lost. @default false */
    deleteEmptyDirData: consent.default(false),
    /** Consent that pods without a controller are evicted; nothing will make them anew. @default false */
    evictUnmanagedPods: consent.default(false),
  })
  .prefault({});

/** Nodes of one wave at most, whoever asks for more. */
export const maxWaveSize = 50;

const wavesSchema = z
  .strictObject({
    /** Nodes of one wave at most. The first wave is one node, and control planes go one at a time. @default 1 */
    size: z.int().min(1).max(maxWaveSize).default(1),
    /** Node to begin with. @default the first by name that is no control plane and does not run the worker */
    canary: z.string().min(1).max(253).optional(),
    /** Seconds to wait after each wave before the next. @default 0 */
    soakSeconds: z.int().min(0).max(604_800).default(0),
  })
  .prefault({});

const rebootSchema = z
  .strictObject({
    /**
     * Whether a node is rebooted once it is flipped; a migration does not need it. `wait-for-human`: somebody reboots it.
     * `hook`: the activity `rebootNode` does, which you provide on `taskQueue`. Either way the node goes on once its boot
     * ID has changed. @default none
     */
    mode: z.enum(['none', 'wait-for-human', 'hook']).default('none'),
    /** Task queue of the hook: an activity `rebootNode({cluster, node})` in any language. */
    taskQueue: z.string().min(1).max(200).optional(),
    /** Seconds until a node that was not rebooted counts as failed. @default 604800 (a week) */
    timeoutSeconds: z.int().min(60).max(2_592_000).default(604_800),
  })
  .refine((reboot) => reboot.mode !== 'hook' || reboot.taskQueue !== undefined, {
    path: ['taskQueue'],
    message: 'is needed for the mode "hook"',
  })
  .prefault({});

const image = z
  .string()
  .max(512)
  .regex(/^[\w][\w.:/@-]*$/, 'must be the reference of an image');

const waiverSchema = z.strictObject({
  /** Name of the check. */
  check: z.enum(checkNames),
  /** Why the migration may begin although this check blocks it; kept in the report. */
  reason: z.string().trim().min(1).max(1_000),
});

const fields = z.strictObject({
  /** A cluster that the worker knows: a name of its file, or a context of its kubeconfig. */
  cluster: contextName,
  /**
   * Cilium's Helm chart, as Helm takes it: an `oci://` reference, or a path on the worker's machine.
   * @default oci://quay.io/cilium/charts/cilium
   */
  chart: z
    .string()
    .max(500)
    .regex(/^(oci:\/\/[\w.:/-]+|\/[\w./@-]+)$/, 'must be an oci:// reference or an absolute path')
    .refine((chart) => !chart.split('/').includes('..'), 'must not lead upwards')
    .default('oci://quay.io/cilium/charts/cilium'),
  /** Version of the chart; ignored for a path. @default 1.20.2 */
  chartVersion: z
    .string()
    .regex(/^\d+\.\d+\.\d+[\w.+-]*$/, 'must be a version such as 1.20.2')
    .default('1.20.2'),
  /** Helm values beside those that the migration sets. @default {} */
  values: z.record(z.string(), z.json()).default({}),
  /** IPv4 CIDR that pods get on Cilium; must overlap with nothing in use. @default 10.245.0.0/16 */
  podCidr: cidr.default('10.245.0.0/16'),
  /** Prefix length of each node's part of `podCidr`. @default 24 */
  nodeMaskSize: z.int().min(16).max(30).default(24),
  /** UDP port of Cilium's VXLAN; must differ from the source's. @default 8473 */
  tunnelPort: z.int().min(1).max(65_535).default(8473),
  /**
   * What waits for a human: the plan and each node, the plan and each wave, the plan and the first wave, or nothing.
   * @default every-node
   */
  approval: z.enum(['every-node', 'every-wave', 'canary-only', 'none']).default('every-node'),
  /** Whether the removal of Canal, from which there is no way back, waits for a human. @default approve */
  cleanUp: z.enum(['approve', 'automatic']).default('approve'),
  /** Seconds until a missing answer is called to mind again, and again. @default 86400 */
  reminderSeconds: z.int().min(60).max(2_592_000).default(86_400),
  /** Seconds after which a missing approval pauses the migration. @default it waits for ever */
  approvalDeadlineSeconds: z.int().min(60).max(31_536_000).optional(),
  /**
   * What follows a node that fails: `wait` for a human to retry, skip or roll it back; `roll-back` it, then wait; or
   * `stop` the migration with its failure. @default wait
   */
  onFailure: z.enum(['wait', 'roll-back', 'stop']).default('wait'),
  /** In which order and how many at a time nodes are migrated. */
  waves: wavesSchema,
  /** When waves may begin. @default at any time */
  windows: z.array(windowSchema).max(50).default([]),
  /** How nodes are drained. */
  drain: drainSchema,
  /** Whether nodes are rebooted. */
  reboot: rebootSchema,
  /** Checks before the migration that may fail, each by its name and with a reason. @default none */
  waivers: z.array(waiverSchema).max(100).default([]),
  /**
   * Whether the checks may run a pod on every node, for some seconds: to read what the kernel and its network are like, and
   * to send packets between the nodes. Without, they judge by what the API server tells. @default true
   */
  nodePods: z.boolean().default(true),
  /** Where there is a way back from what no roll-back mends, such as the name of a snapshot of etcd. @default none */
  backup: z.string().trim().min(1).max(1_000).optional(),
  /** Goes through the whole migration and tells what it would do, changing nothing. @default false */
  dryRun: z.boolean().default(false),
  /** How the paths between pods are measured. */
  ledger: ledgerSchema,
  /** What has to hold before the next node, and before the clean-up. */
  gates: gatesSchema,
  /** Image of the prober, which measures, verifies, and looks at nodes. */
  proberImage: image.default('cni-live-migration/prober:1'),
  /** Image of what keeps the two networks together: the identity bridge and the exemption from NAT. */
  coexistenceImage: image.default('cni-live-migration/coexistence:1'),
  /**
   * What becomes of NetworkPolicies on migrated nodes until the cut-over: `enforce` them; `audit`: only record what would
   * be denied; or `off`, as in Cilium's own guide. After the cut-over they are enforced, whatever it is here. @default enforce
   */
  policyMode: z.enum(['enforce', 'audit', 'off']).default('enforce'),
});

const inputSchema = fields.refine(({ podCidr, nodeMaskSize }) => nodeMaskSize >= Number(podCidr.split('/')[1]), {
  path: ['nodeMaskSize'],
  message: 'must not be shorter than the prefix of podCidr: each node gets a part of it',
});

/** What a migration is started with, complete: every default filled in. */
export type MigrationInput = z.output<typeof inputSchema>;

/** What a migration is started with, as written by hand: only `cluster` is needed. */
export type MigrationRequest = z.input<typeof inputSchema>;

/** How a node is drained. */
export type DrainOptions = MigrationInput['drain'];

/**
 * Reads the input of a migration.
 * @returns the complete input, or one line for each thing that is wrong with it.
 */
export function parseInput(raw: unknown): { input: MigrationInput } | { problems: string[] } {
  if (isMalformed(raw)) return { problems: ['the input: is not valid JSON'] };
  const problems = untrustedProblems(raw);
  if (problems.length > 0) return { problems };
  const result = inputSchema.safeParse(raw);
  if (result.success) return { input: result.data };
  return { problems: problemsOf(result.error, 'the input') };
}
