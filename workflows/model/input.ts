import { z } from 'zod';
import { isMalformed } from '../payload-converter.ts';

/** A name as Kubernetes and kubeconfig files allow it, without anything that could be taken for a path or an option. */
const contextName = z
  .string()
  .min(1)
  .max(253)
  .regex(/^[A-Za-z0-9][A-Za-z0-9._@:/-]*$/, 'must be the name of a kubeconfig context');

const cidr = z.cidrv4({ error: 'must be an IPv4 CIDR such as 10.245.0.0/16' });

const drainSchema = z
  .strictObject({
    /** Seconds that a node may take to become empty before the migration stops there. @default 900 */
    timeoutSeconds: z.int().min(10).max(86_400).default(900),
    /** Consent that pods with emptyDir volumes are evicted and their data is lost. @default false */
    deleteEmptyDirData: z.boolean().default(false),
    /** Consent that pods without a controller are evicted; nothing will make them anew. @default false */
    evictUnmanagedPods: z.boolean().default(false),
  })
  .prefault({});

const inputSchema = z.strictObject({
  /** The cluster: a context of the worker's kubeconfig. */
  cluster: contextName,
  /**
   * Cilium's Helm chart, as Helm takes it: an `oci://` reference, or a path on the worker's machine.
   * @default oci://quay.io/cilium/charts/cilium
   */
  chart: z
    .string()
    .regex(/^(oci:\/\/[\w.:/-]+|\/[\w./@-]+)$/, 'must be an oci:// reference or an absolute path')
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
  /** Which steps wait for a human: each node, or none. @default every-node */
  approval: z.enum(['every-node', 'none']).default('every-node'),
  /** How nodes are drained. */
  drain: drainSchema,
  /** Image of the prober, which the verification pods run. */
  proberImage: z.string().min(1).max(512).default('cni-live-migration/prober:1'),
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
  const result = inputSchema.safeParse(raw);
  if (result.success) return { input: result.data };
  return {
    problems: result.error.issues.map((issue) => {
      const where = issue.path.length > 0 ? issue.path.join('.') : 'the input';
      return `${where}: ${issue.message}`;
    }),
  };
}
