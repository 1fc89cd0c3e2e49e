import { z } from 'zod';
import { inputVersion, withoutEditorSchema } from './api-version.ts';
import { isMalformed } from './malformed-payload.ts';
import { gatesSchema } from './gates.ts';
import { ledgerSchema } from './ledger-options.ts';
import { checkNames } from './preflight.ts';
import { untrustedProblems } from './input-limits.ts';
import { windowSchema } from './maintenance-windows.ts';
import { formatProblems } from './problems.ts';

/** A name that Kubernetes and kubeconfig files allow, without anything that could be read as a path or an option. */
export const clusterNameSchema = z
  .string()
  .min(1)
  .max(253)
  .regex(/^[A-Za-z0-9][A-Za-z0-9._@:/-]*$/, 'must be the name of a kubeconfig context');

/** An IPv4 CIDR. */
export const cidrSchema = z.cidrv4({ error: 'must be an IPv4 CIDR such as 10.245.0.0/16' });

/** Digest of a chart. */
export const chartDigestPattern = /^sha256:[0-9a-f]{64}$/;

/** Consent for all pods, for none, or for the listed ones: `namespace/name`, `namespace/prefix*` or `namespace/*`. */
const consent = z.union([
  z.boolean(),
  z.array(z.string().regex(/^[a-z0-9-]+\/[a-z0-9.-]*\*?$/, 'must be namespace/name, namespace/prefix* or namespace/*')),
]);

/** Options of a drain. */
export const drainSchema = z
  .strictObject({
    /**
     * `evict`: pods leave the node before it is flipped. `recycle`: the node is flipped first and stays schedulable
     * while its pods are evicted, so that pods with local volumes return to it immediately.
     * @default evict
     */
    mode: z.enum(['evict', 'recycle']).default('evict'),
    /**
     * Maximum duration of a node's drain, in seconds. A terminating pod gets its own grace period plus 60 s, even where
     * that is longer.
     * @default 900
     */
    timeoutSeconds: z.int().min(10).max(86_400).default(900),
    /**
     * Consent to evict pods with emptyDir volumes, whose data is lost.
     * @default false
     */
    deleteEmptyDirData: consent.default(false),
    /**
     * Consent to evict pods without a controller, which nothing recreates.
     * @default false
     */
    evictUnmanagedPods: consent.default(false),
  })
  .prefault({});

/** Upper limit of the nodes in one wave. */
export const maxWaveSize = 50;

const wavesSchema = z
  .strictObject({
    /**
     * Maximum number of nodes in one wave. The first wave is one node, and control planes follow one at a time.
     * @default 1
     */
    maxConcurrency: z.int().min(1).max(maxWaveSize).default(1),
    /**
     * Node to migrate first.
     * @default the first by name that is not a control plane and does not run the worker
     */
    canaryNode: z.string().min(1).max(253).optional(),
    /**
     * Seconds to wait after each wave before the next.
     * @default 0
     */
    soakSeconds: z.int().min(0).max(604_800).default(0),
  })
  .prefault({});

const rebootSchema = z
  .strictObject({
    /**
     * Reboot of a node after it is flipped; the migration itself does not need one. `wait-for-human`: an operator
     * reboots the node. `hook`: the activity `rebootNode` does, which you provide on `taskQueue`. In both cases the
     * node continues when its boot ID has changed.
     * @default none
     */
    mode: z.enum(['none', 'wait-for-human', 'hook']).default('none'),
    /** Task queue of the hook: an activity `rebootNode({cluster, node})` in any language. */
    taskQueue: z.string().min(1).max(200).optional(),
    /**
     * Seconds until a node without a reboot counts as failed.
     * @default 604800 (a week)
     */
    timeoutSeconds: z.int().min(60).max(2_592_000).default(604_800),
  })
  .refine((reboot) => reboot.mode !== 'hook' || reboot.taskQueue !== undefined, {
    path: ['taskQueue'],
    message: 'is required for the mode "hook"',
  })
  .meta({ if: { properties: { mode: { const: 'hook' } }, required: ['mode'] }, then: { required: ['taskQueue'] } })
  .prefault({});

/** Reference of an image. */
export const imageSchema = z
  .string()
  .max(512)
  .regex(/^[\w][\w.:/@-]*$/, 'must be an image reference');

/** A chart in Helm's syntax, which cannot be read as an option and leads nowhere upwards. */
export const chartSchema = z
  .string()
  .max(500)
  .regex(/^(oci:\/\/[\w.:/-]+|\/[\w./@-]+)$/, 'must be an oci:// reference or an absolute path')
  .refine((chart) => !chart.split('/').includes('..'), 'must not contain ".."');

/** Version of a chart. */
export const chartVersionSchema = z.string().regex(/^\d+\.\d+\.\d+[\w.+-]*$/, 'must be a version such as 1.20.2');

const waiverSchema = z.strictObject({
  /** Name of the check. */
  check: z.enum(checkNames),
  /** Reason why the migration may start although this check blocks; kept in the report. */
  reason: z.string().trim().min(1).max(1_000),
});

const fields = z.strictObject({
  ...inputVersion,
  /** Cluster that the worker knows: a name in its file of clusters, or a context of its kubeconfig. */
  cluster: clusterNameSchema,
  /**
   * Cilium's Helm chart in Helm's syntax: an `oci://` reference, or a path on the worker's machine.
   * @default oci://quay.io/cilium/charts/cilium
   */
  chart: chartSchema.default('oci://quay.io/cilium/charts/cilium'),
  /**
   * Version of the chart; ignored for a path.
   * @default 1.20.2
   */
  chartVersion: chartVersionSchema.default('1.20.2'),
  /**
   * Digest that the chart must have, `sha256:` and 64 hexadecimal digits: of its archive, as `sha256sum` computes it; for
   * a folder, the digest that the plan shows.
   * @default any digest; the plan records it
   */
  chartDigest: z
    .string()
    .regex(chartDigestPattern, 'must be sha256: and 64 hexadecimal digits in lower case')
    .optional(),
  /**
   * Helm values in addition to those that the migration sets.
   * @default {}
   */
  values: z.record(z.string(), z.json()).default({}),
  /**
   * IPv4 CIDR of pods on Cilium; must not overlap with any network in use.
   * @default 10.245.0.0/16
   */
  podCidr: cidrSchema.default('10.245.0.0/16'),
  /**
   * Prefix length of each node's part of `podCidr`.
   * @default 24
   */
  nodeMaskSize: z.int().min(16).max(30).default(24),
  /**
   * UDP port of Cilium's VXLAN; must differ from the port of the source network.
   * @default 8473
   */
  tunnelPort: z.int().min(1).max(65_535).default(8473),
  /**
   * Steps that need an approval: the plan, each node and the cutover; the plan, each wave and the cutover; the plan and
   * the first wave; or none.
   * @default every-node
   */
  approval: z.enum(['every-node', 'every-wave', 'canary-only', 'none']).default('every-node'),
  /**
   * `approve`: the removal of Canal, the point of no return, waits for an approval. `automatic`: it does not.
   * @default approve
   */
  cleanup: z.enum(['approve', 'automatic']).default('approve'),
  /**
   * Seconds between reminders that an answer is missing.
   * @default 86400
   */
  reminderSeconds: z.int().min(60).max(2_592_000).default(86_400),
  /**
   * Seconds until a missing approval pauses the migration.
   * @default no deadline
   */
  approvalDeadlineSeconds: z.int().min(60).max(31_536_000).optional(),
  /**
   * Reaction to a node that fails: `wait` until an operator retries, skips or rolls it back; `rollback` the node, then
   * wait; or `stop` the migration with the node's failure.
   * @default wait
   */
  onFailure: z.enum(['wait', 'rollback', 'stop']).default('wait'),
  /** Order of the nodes, and how many are migrated in parallel. */
  waves: wavesSchema,
  /**
   * Windows in which steps may start that disturb the cluster: the installation of Cilium, waves, the cutover, the
   * removal of Canal, and rollbacks. A step starts when its expected duration fits into the rest of a window.
   * @default at any time
   */
  windows: z.array(windowSchema).max(50).default([]),
  /** Drain options. */
  drain: drainSchema,
  /** Reboot options. */
  reboot: rebootSchema,
  /**
   * Checks that may block without stopping the migration, each by its name and with a reason.
   * @default none
   */
  waivers: z.array(waiverSchema).max(100).default([]),
  /**
   * Permission to run a pod on every node during the checks, for some seconds, to read the state of its kernel and
   * network and to send packets between the nodes. When false, the checks only use data of the API server.
   * @default true
   */
  nodeInspection: z.boolean().default(true),
  /**
   * Backup for everything that a rollback cannot restore, such as the name of an etcd snapshot.
   * @default none
   */
  backup: z.string().trim().min(1).max(1_000).optional(),
  /**
   * Runs through the whole migration and reports what it would do, without any change.
   * @default false
   */
  dryRun: z.boolean().default(false),
  /** Measurement of the paths between pods. */
  ledger: ledgerSchema,
  /** Conditions that must hold before the next node and before the cleanup. */
  gates: gatesSchema,
  /** Image of the prober, which measures paths, verifies nodes and inspects them. */
  proberImage: imageSchema.default('localhost/cni-live-migration/prober:1'),
  /** Image of the coexistence helpers: the identity bridge and the NAT exemption. */
  coexistenceImage: imageSchema.default('localhost/cni-live-migration/coexistence:1'),
  /**
   * NetworkPolicies on migrated nodes until the cutover: `enforce` them; `audit`: only record what would be denied; or
   * `off`, as in Cilium's own guide. After the cutover they are always enforced.
   * @default enforce
   */
  policyMode: z.enum(['enforce', 'audit', 'off']).default('enforce'),
});

/** Schema of the input of a migration. */
export const inputSchema = fields
  .refine(({ podCidr, nodeMaskSize }) => nodeMaskSize >= Number(podCidr.split('/')[1]), {
    path: ['nodeMaskSize'],
    message: 'must not be smaller than the prefix length of podCidr: each node gets a part of that CIDR',
  })
  .transform(withoutEditorSchema);

/** Input of a migration with every default applied. */
export type MigrationInput = z.output<typeof inputSchema>;

/** Input of a migration as written by the operator: only `cluster` is required. */
export type MigrationRequest = z.input<typeof inputSchema>;

/** Drain options of a migration. */
export type DrainOptions = MigrationInput['drain'];

/**
 * Parses the input of a migration.
 * @returns the complete input, or one line per problem.
 */
export function parseInput(raw: unknown): { input: MigrationInput } | { problems: string[] } {
  if (isMalformed(raw)) return { problems: ['the input: is not valid JSON'] };
  const problems = untrustedProblems(raw);
  if (problems.length > 0) return { problems };
  const result = inputSchema.safeParse(raw);
  if (result.success) return { input: result.data };
  return { problems: formatProblems(result.error, 'the input') };
}
