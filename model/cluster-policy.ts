/** What the worker's own file demands of every migration of a cluster. No input overrides it. Pure. */
import { z } from 'zod';
import { chartDigestPattern, type MigrationInput } from './input.ts';
import { checkNames } from './preflight.ts';

/** Modes of approval, the least strict first. */
const approvalModes = [
  'none',
  'canary-only',
  'every-wave',
  'every-node',
] as const satisfies readonly MigrationInput['approval'][];

/** Schema of a cluster's policy. */
export const clusterPolicySchema = z.strictObject({
  /**
   * Digests of the charts that may be applied, `sha256:` and 64 hexadecimal digits.
   * @default every digest
   */
  chartDigests: z
    .array(z.string().regex(chartDigestPattern, 'must be sha256: and 64 hexadecimal digits in lower case'))
    .optional(),
  /**
   * True when an approval of the plan must name the digest of the plan.
   * @default false
   */
  requirePlanDigest: z.boolean().optional(),
  /**
   * Least strict mode of approval that an input may have. Does not apply to dry runs.
   * @default none
   */
  minimumApproval: z.enum(approvalModes).optional(),
  /**
   * Checks that an input may waive, by their names.
   * @default all
   */
  waivableChecks: z.array(z.enum(checkNames)).optional(),
  /**
   * Hosts to which gates may send requests: names or addresses, without a port, and `[…]` around an IPv6 address. A host in
   * this list may have a loopback or link-local address.
   * @default every host without such an address
   */
  gateHosts: z
    .array(
      z
        .string()
        .max(253)
        .regex(/^(\[[0-9a-fA-F:.]+\]|[a-zA-Z0-9]([a-zA-Z0-9.-]*[a-zA-Z0-9])?)$/, 'must be a host without a port')
        .transform((host) => host.toLowerCase())
    )
    .optional(),
});

/** Policy of one cluster. */
export type ClusterPolicy = z.output<typeof clusterPolicySchema>;

/** Returns the policy of a cluster; an empty one where the worker's file has none. */
export type PolicyOf = (cluster: string) => ClusterPolicy;

/** The policy where the worker's file has none. */
export const noPolicy: PolicyOf = () => ({});

/** Returns the name of a line of a cluster's policy, for messages. */
export function policyLine(line: keyof ClusterPolicy, cluster: string): string {
  return `policy.${line} of the cluster "${cluster}" in the worker's file`;
}

/** Returns what the policy does not allow in an input, one line each. */
export function policyProblems(policy: ClusterPolicy, input: MigrationInput): string[] {
  return [
    ...chartProblems(policy, input),
    ...approvalProblems(policy, input),
    ...waiverProblems(policy, input),
    ...gateProblems(policy, input),
  ];
}

function chartProblems({ chartDigests }: ClusterPolicy, { cluster, chartDigest }: MigrationInput): string[] {
  if (chartDigests === undefined || chartDigest === undefined || chartDigests.includes(chartDigest)) return [];
  const list = chartDigests.join(', ') || 'none';
  return [`chartDigest: ${policyLine('chartDigests', cluster)} does not contain ${chartDigest}; it contains ${list}`];
}

function approvalProblems(policy: ClusterPolicy, { cluster, approval, dryRun }: MigrationInput): string[] {
  // A dry run changes nothing and waits for nobody.
  if (dryRun) return [];
  const { minimumApproval = 'none', requirePlanDigest = false } = policy;
  const problems: string[] = [];
  if (approvalModes.indexOf(approval) < approvalModes.indexOf(minimumApproval)) {
    const accepted = approvalModes.slice(approvalModes.indexOf(minimumApproval)).join(' or ');
    problems.push(`approval: ${policyLine('minimumApproval', cluster)} requires ${accepted}, not ${approval}`);
  }
  if (requirePlanDigest && approval === 'none')
    problems.push(`approval: ${policyLine('requirePlanDigest', cluster)} requires an approval of the plan, not none`);
  return problems;
}

function waiverProblems({ waivableChecks }: ClusterPolicy, { cluster, waivers }: MigrationInput): string[] {
  if (waivableChecks === undefined) return [];
  const list = waivableChecks.join(', ') || 'none';
  return waivers.flatMap(({ check }, index) =>
    waivableChecks.includes(check)
      ? []
      : [`waivers.${index}.check: ${policyLine('waivableChecks', cluster)} allows ${list}, not ${check}`]
  );
}

function gateProblems({ gateHosts }: ClusterPolicy, { cluster, gates }: MigrationInput): string[] {
  if (gateHosts === undefined) return [];
  const urls = (['prometheus', 'http'] as const).flatMap((kind) =>
    gates[kind].map(({ url }, index) => ({ url, field: `gates.${kind}.${index}.url` }))
  );
  return urls.flatMap(({ url, field }) => {
    const { hostname } = new URL(url);
    if (gateHosts.includes(hostname)) return [];
    const list = gateHosts.join(', ') || 'none';
    return [`${field}: ${policyLine('gateHosts', cluster)} allows ${list}, not ${hostname}`];
  });
}
