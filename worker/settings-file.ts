import { mkdtemp, readFile, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { z } from 'zod';
import { parse } from 'yaml';
import { namedClusters, type Clusters, type ConnectionOptions } from '../activities/kubernetes/connection.ts';
import type { KubeconfigContext } from '../activities/kubernetes/kubeconfig-context.ts';
import { kubeconfigAllowances } from '../model/allowances.ts';
import { clusterPolicySchema, type PolicyOf } from '../model/cluster-policy.ts';
import { approvalModes } from '../model/migration-approval.ts';
import { formatProblems } from '../model/problems.ts';

/** Fields of every cluster. */
const policyFields = {
  /**
   * What every migration of the cluster has to comply with.
   * @default nothing
   */
  policy: clusterPolicySchema.optional(),
  /**
   * What proves an approval: `signal`, the message of any sender that reaches Temporal; or `authenticated`, a
   * MigrationApproval in the cluster, whose user the API server has authenticated.
   * @default signal
   */
  approvals: z.enum(approvalModes).optional(),
  /**
   * Namespaces in which Canal may be installed, in addition to kube-system. In any other namespace, objects that look like
   * Canal are ignored.
   * @default none
   */
  canalNamespaces: z
    .array(z.string().regex(/^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/, 'must be the name of a namespace'))
    .max(10)
    .optional(),
};

const clusterSchema = z.union([
  z.strictObject({
    /** Path of a kubeconfig file, relative to the folder of this file. */
    kubeconfig: z.string().min(1),
    /**
     * Context of the kubeconfig.
     * @default its current context
     */
    context: z.string().min(1).optional(),
    /**
     * What the kubeconfig may do although it is unsafe.
     * @default nothing
     */
    allow: z.array(z.enum(kubeconfigAllowances)).optional(),
    ...policyFields,
  }),
  z.strictObject({
    /** The cluster in which the worker itself runs, with the identity of its pod. */
    inCluster: z.literal(true),
    ...policyFields,
  }),
]);

const settingsSchema = z.strictObject({
  /** Credentials by the name of the cluster, as in a migration's `cluster`. */
  clusters: z
    .record(z.string(), clusterSchema)
    .refine((clusters) => Object.keys(clusters).length > 0, 'must contain at least one cluster'),
  /**
   * Permitted sources of Cilium's chart: `oci://` references and folders, each with everything below it.
   * @default every source that an input can name
   */
  charts: z
    .array(z.string().regex(/^(oci:\/\/|\/)[\w./@:-]+[^/]$/, 'must be an oci:// reference or an absolute path'))
    .optional(),
  /**
   * Permitted images of the pods that the worker starts: registries and repositories, each with everything below it,
   * and whole references with a tag or a digest. Pods of Cilium's chart are not concerned.
   * @default every image
   */
  images: z
    .array(
      z
        .string()
        .max(512)
        .regex(
          /^[a-zA-Z0-9]([\w.:/-]*[a-zA-Z0-9])?(@sha256:[0-9a-f]{64})?$/,
          'must be a registry, a repository, or an image with a tag or a digest'
        )
    )
    .optional(),
});

/** Settings in a worker's own file: its clusters with their policies, and the permitted sources of charts. */
export interface WorkerSettings {
  clusters: Clusters;
  charts: readonly string[] | undefined;
  policyOf: PolicyOf;
}

/**
 * Reads the settings file that `CNI_MIGRATION_CONFIG` names.
 * @throws Error with every problem of the file.
 */
export async function readSettingsFile(file: string, options: ConnectionOptions = {}): Promise<WorkerSettings> {
  const text = await readFile(file, 'utf8').catch((error: unknown) => {
    throw new Error(`cannot read ${file}: ${(error as NodeJS.ErrnoException).code ?? 'unknown'}`);
  });
  let raw: unknown;
  try {
    raw = parse(text);
  } catch (error) {
    throw new Error(
      `${file} is not valid YAML: ${error instanceof Error ? (error.message.split('\n')[0] ?? '') : ''}`,
      {
        cause: error,
      }
    );
  }
  const result = settingsSchema.safeParse(raw);
  if (!result.success) throw new Error(`${file}: ${formatProblems(result.error, 'the file').join('; ')}`);
  const clusters = new Map<string, KubeconfigContext>();
  for (const [name, cluster] of Object.entries(result.data.clusters)) {
    const { approvals, canalNamespaces } = cluster;
    const policy = {
      ...(approvals !== undefined && { approvals }),
      ...(canalNamespaces !== undefined && { canalNamespaces }),
    };
    clusters.set(
      name,
      'inCluster' in cluster
        ? { file: await inClusterKubeconfig(process.env), inCluster: true, ...policy }
        : {
            file: path.resolve(path.dirname(file), cluster.kubeconfig),
            ...(cluster.context !== undefined && { context: cluster.context }),
            ...(cluster.allow !== undefined && { allow: cluster.allow }),
            ...policy,
          }
    );
  }
  const { charts, images } = result.data;
  const policies = new Map(Object.entries(result.data.clusters).map(([name, cluster]) => [name, cluster.policy]));
  return {
    clusters: namedClusters(clusters, { ...options, images }),
    charts,
    policyOf: (cluster) => policies.get(cluster) ?? {},
  };
}

const serviceAccountDir = '/var/run/secrets/kubernetes.io/serviceaccount';

/**
 * Writes a kubeconfig for Helm that references the pod's own token, which is renewed in place, and contains no secret
 * itself.
 * @returns path of the file.
 */
async function inClusterKubeconfig(env: NodeJS.ProcessEnv): Promise<string> {
  const host = env['KUBERNETES_SERVICE_HOST'];
  const port = env['KUBERNETES_SERVICE_PORT'] ?? '443';
  if (host === undefined)
    throw new Error('"inCluster" requires a worker that runs in a pod: KUBERNETES_SERVICE_HOST is not set');
  const name = 'in-cluster';
  const config = {
    apiVersion: 'v1',
    kind: 'Config',
    clusters: [
      {
        name,
        cluster: {
          server: `https://${host.includes(':') ? `[${host}]` : host}:${port}`,
          'certificate-authority': `${serviceAccountDir}/ca.crt`,
        },
      },
    ],
    users: [{ name, user: { tokenFile: `${serviceAccountDir}/token` } }],
    contexts: [{ name, context: { cluster: name, user: name } }],
    'current-context': name,
  };
  const file = path.join(await mkdtemp(path.join(tmpdir(), 'cni-migration-')), 'kubeconfig');
  await writeFile(file, JSON.stringify(config), { mode: 0o600 });
  return file;
}
