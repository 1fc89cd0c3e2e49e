import { Context } from '@temporalio/activity';
import { noPolicy, type PolicyOf } from '../../../model/cluster-policy.ts';
import { summarizeList } from '../../../model/summarize.ts';
import type { ClusterConnection } from '../../kubernetes/connection.ts';
import type { OnCluster } from '../../kubernetes/on-cluster.ts';
import { failure } from '../../support/failures.ts';
import { heartbeat } from '../../support/heartbeat.ts';
import type { Gate, GateEvaluation, GateTarget } from './gate.ts';
import { withRequests, type SendRequest } from './external.ts';
import { gateHostsOf, requireGateHosts } from './gate-address.ts';
import { httpGate } from './http.ts';
import { pathsGate } from './paths.ts';
import { prometheusGate } from './prometheus.ts';

/**
 * Creates the activity that evaluates the gates.
 * @param policyOf policies of the worker's file. @default none
 */
export function createGateActivities(onCluster: OnCluster, policyOf: PolicyOf = noPolicy) {
  return {
    /**
     * Evaluates every gate: the measured paths, Prometheus queries and HTTP checks.
     * @throws GateBreached with the evidence, and with the likely cause of the pattern of broken paths.
     * @throws InvalidInput when a gate may not send requests to its host.
     */
    checkGates: onCluster('check the gates', async (connection, target: GateTarget): Promise<void> => {
      const hosts = gateHostsOf(policyOf, target.cluster);
      requireGateHosts(target.gates, hosts);
      const evaluations = await withRequests(hosts, (send) => evaluateGates(connection, target, send));
      const objections = evaluations.flatMap((evaluation) => evaluation.objections);
      countVerdict(target.cluster, objections.length === 0 ? 'pass' : 'breach');
      if (objections.length === 0) return;
      const causes = await Promise.all(evaluations.map(async ({ explain }) => await explain?.()));
      throw failure('GateBreached', [...causes.filter((cause) => cause !== undefined), ...objections].join('\n'));
    }),
  };
}

/** Evaluates the paths first, because that waits until the probers have written; then all external gates in parallel. */
async function evaluateGates(
  connection: ClusterConnection,
  target: GateTarget,
  send: SendRequest
): Promise<GateEvaluation[]> {
  const { prometheus, http } = target.gates;
  const paths = await pathsGate(connection, target).evaluate();
  const external: Gate[] = [
    ...prometheus.map((gate) => prometheusGate(gate, send)),
    ...http.map((gate) => httpGate(gate, send)),
  ];
  if (external.length > 0) heartbeat({ waitingFor: `gates: ${summarizeList(external.map(({ name }) => name))}` });
  return [paths, ...(await Promise.all(external.map((gate) => gate.evaluate())))];
}

/** Counts passed and breached gates for the worker's metrics. */
function countVerdict(cluster: string, verdict: 'pass' | 'breach'): void {
  const { metricMeter } = Context.current();
  metricMeter
    .createCounter('cni_migration_gates', undefined, 'Evaluations of the gates, by verdict')
    .add(1, { cluster, verdict });
}
