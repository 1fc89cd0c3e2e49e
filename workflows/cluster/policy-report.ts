import { setCurrentDetails, upsertSearchAttributes } from '@temporalio/workflow';
import { run } from '../support/run.ts';
import { parseMigration } from '../support/parse-input.ts';
import { withApiVersion, type Versioned } from '../../model/api-version.ts';
import { type ClusterPolicyReport, differentPolicies } from '../../model/policies.ts';
import { policyMarkdown } from '../../model/markdown/policies.ts';
import { operatorFailure } from '../support/operator-failure.ts';
import { searchAttributes } from '../search-attributes.ts';

/**
 * Compares the verdicts of Canal and Cilium for a cluster's policies, without any change. May run at any time, also
 * during a migration.
 *
 * @param raw the input of a migration; validated before anything else.
 * @throws ApplicationFailure of type InvalidInput, UnknownCluster, ClusterUnreachable, SourceNotFound.
 */
export async function clusterPolicyReport(raw: unknown): Promise<Versioned<ClusterPolicyReport>> {
  try {
    const input = parseMigration(raw);
    upsertSearchAttributes([{ key: searchAttributes.cluster, value: input.cluster }]);
    const report = await run('comparePolicies', 'compare policies', { input });
    setCurrentDetails(`**${input.cluster}**\n\n${policyMarkdown(report)}`);
    return withApiVersion({ cluster: input.cluster, same: differentPolicies(report).length === 0, ...report });
  } catch (error) {
    throw operatorFailure(error);
  }
}
