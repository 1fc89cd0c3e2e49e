import { ApplicationFailure, CancelledFailure } from '@temporalio/common';
import { noPolicy, type PolicyOf } from '../../model/cluster-policy.ts';
import type { MigrationInput } from '../../model/input.ts';
import type { FailureType } from '../../model/failure-types.ts';
import { checkNames, type CheckName, type CheckOutcome } from '../../model/preflight.ts';
import type { HelmSettings } from '../helm/command.ts';
import { renderChart } from '../helm/render.ts';
import { heartbeat } from '../support/heartbeat.ts';
import type { ClusterConnection } from '../kubernetes/connection.ts';
import { asFailure, errorMessage } from '../kubernetes/errors.ts';
import type { OnCluster } from '../kubernetes/on-cluster.ts';
import { requirePolicy } from '../plan/resolve-request.ts';
import { mapLimit } from '../support/map-limit.ts';
import { checks } from './checks/index.ts';
import { clusterReader, type ClusterReader } from './cluster-reader.ts';
import { readHosts, removeInspectors } from './host-facts.ts';

/** Maximum number of checks that run in parallel. */
const maxParallelChecks = 8;

/** Limits of a check's evidence, in lines and characters per line: outcomes are part of a workflow's history. */
const maxEvidenceLines = 12;
const maxLineLength = 600;

/** Types of failures that affect every check. */
const accessFailures: readonly string[] = [
  'ClusterUnreachable',
  'CredentialsRejected',
  'CredentialsUnreadable',
  'CredentialsRefused',
] satisfies FailureType[];

/** Input of `runPreflight`. */
export interface PreflightTarget {
  input: MigrationInput;
  /**
   * Checks to run.
   * @default all
   */
  only?: readonly CheckName[];
}

/**
 * Creates the activities that run the checks.
 * @param policyOf policies of the worker's file. @default none
 */
export function createCheckActivities(onCluster: OnCluster, helm: HelmSettings, policyOf: PolicyOf = noPolicy) {
  return {
    /**
     * Runs all checks, several in parallel. Changes nothing, except that one of our pods runs on every node for some
     * seconds unless `nodeInspection` is off; `removeInspectors` removes these pods. A check that fails to run blocks and
     * reports the reason.
     * @throws ClusterUnreachable when the API server does not respond.
     * @throws CredentialsRejected, CredentialsUnreadable, CredentialsRefused
     * @throws InvalidInput when the policy of the cluster does not allow the input.
     */
    runPreflight: onCluster(
      'check the cluster',
      async (connection, target: PreflightTarget): Promise<CheckOutcome[]> => {
        const { input, only = checkNames } = target;
        requirePolicy(policyOf, input);
        // An unreachable API server fails the whole activity, not a single check.
        const { gitVersion } = await connection.version.getCode({});
        const reader = createReader(connection, input, helm, gitVersion);
        const left = new Set(only);
        return mapLimit(maxParallelChecks, only, async (name) => {
          const outcome = await runCheck(name, reader);
          left.delete(name);
          heartbeat({ waitingFor: `checks: ${[...left].join(', ') || 'none'}` });
          return outcome;
        });
      }
    ),

    /**
     * Removes what the checks created in the cluster. It is a separate activity, so that cancellation does not prevent
     * it.
     */
    removeInspectors: onCluster('remove the inspection pods', (connection) => removeInspectors(connection)),
  };
}

function createReader(
  connection: ClusterConnection,
  input: MigrationInput,
  helm: HelmSettings,
  version: string
): ClusterReader {
  const reader: ClusterReader = clusterReader(connection, input, {
    hosts: async () =>
      input.nodeInspection
        ? readHosts(connection, await reader.nodes(), {
            image: input.proberImage,
            udpPort: input.tunnelPort,
            cni: await reader.cniPaths(),
          })
        : undefined,
    chart: () => renderChart(helm, input, version),
  });
  return reader;
}

async function runCheck(name: CheckName, reader: ClusterReader): Promise<CheckOutcome> {
  const check = checks[name];
  const startMs = Date.now();
  const { verdict, evidence, fix } = await check.run(reader).catch((error: unknown) => {
    const failed = asFailure(error, 'read the cluster');
    // These affect the whole run: the workflow retries a cluster that does not respond.
    if (failed instanceof CancelledFailure) throw failed;
    if (failed instanceof ApplicationFailure && accessFailures.includes(failed.type ?? '')) throw failed;
    return { verdict: 'block' as const, evidence: [`the check did not run: ${errorMessage(failed)}`], fix: undefined };
  });
  const advice = verdict === 'pass' ? undefined : (fix ?? check.fix);
  return {
    check: name,
    verdict,
    evidence: evidence
      .filter(Boolean)
      .slice(0, maxEvidenceLines)
      .map((line) => line.slice(0, maxLineLength)),
    ...(advice !== undefined && { fix: advice }),
    ms: Date.now() - startMs,
  };
}
