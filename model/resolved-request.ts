import {
  coexistenceValues,
  cutoverValues,
  expectedConfig,
  expectedCutoverConfig,
  finalValues,
  type HelmValues,
} from './helm-values.ts';
import type { MigrationInput } from './input.ts';
import type { ApprovalMode } from './migration-approval.ts';
import { parseRequest } from './parse-request.ts';

/** Keys of `cilium-config` that the chart must render; null for a key that must be absent. */
export type ExpectedConfig = Record<string, string | null>;

/** Helm values and expected configuration of Cilium in each stage of a migration. */
export interface Releases {
  coexistence: { values: HelmValues; config: ExpectedConfig };
  cutover: { values: HelmValues; config: ExpectedConfig };
  final: { values: HelmValues };
}

/**
 * A request with everything that a build decides: defaults and Helm values. It is computed once and recorded, so that a
 * worker of another build executes what was approved.
 */
export interface ResolvedRequest {
  input: MigrationInput;
  releases: Releases;
  /**
   * Secret of the workers with encryption, of which the IDs of nodes' workflows are computed: Temporal stores IDs as they
   * are, and an ID with a name would show the name.
   * @default none: the IDs contain the names of nodes, and so does the search attribute of what is awaited
   */
  nodeIdSecret?: string;
  /**
   * True when an approval of the plan must name its digest: `requirePlanDigest` in the policy of the worker's file.
   * @default false
   */
  requiresPlanDigest?: true;
  /**
   * `authenticated`: an approval is an object of the cluster.
   * @default signal
   */
  approvals?: ApprovalMode;
}

/**
 * Resolves a request.
 * @returns the result, or one line per problem.
 */
export function resolveRequest(raw: unknown): ResolvedRequest | { problems: string[] } {
  const parsed = parseRequest(raw);
  if ('problems' in parsed) return parsed;
  const { input } = parsed;
  return {
    input,
    releases: {
      coexistence: { values: coexistenceValues(input), config: expectedConfig(input) },
      cutover: { values: cutoverValues(input), config: expectedCutoverConfig(input) },
      final: { values: finalValues(input) },
    },
  };
}
