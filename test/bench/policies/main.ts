import { compareInThread } from '../../../activities/policy/compare-in-thread.ts';
import { observeEventLoop } from '../../support/event-loop.ts';
import { manyPolicies, type ManyPoliciesSize } from '../../support/many-policies.ts';
import { recordResult } from '../regressions.ts';
import { rounded } from '../results.ts';
import { policyRatios, type PolicyRun } from './result.ts';

/** Sizes in ascending order: the maximum memory of a process never falls. */
const sizes: readonly ManyPoliciesSize[] = [
  { policies: 1_100, namespaces: 100 },
  { policies: 1_650, namespaces: 150 },
  { policies: 2_200, namespaces: 200 },
  { policies: 3_000, namespaces: 300 },
];

/** Measures the comparison of policies as a worker runs it, without a cluster: in a thread. */
async function bench(): Promise<void> {
  const runs: PolicyRun[] = [];
  for (const size of sizes) {
    const run = await measure(size);
    console.error(JSON.stringify(run));
    runs.push(run);
  }
  await recordResult('policies', { runs }, policyRatios);
}

async function measure(size: ManyPoliciesSize): Promise<PolicyRun> {
  const input = manyPolicies(size);
  const cpu = process.cpuUsage();
  const stop = observeEventLoop();
  const { flows } = await compareInThread(input);
  const blockedMs = stop();
  const { user, system } = process.cpuUsage(cpu);
  return {
    ...size,
    flows,
    cpuSeconds: rounded((user + system) / 1e6),
    blockedMs: Math.round(blockedMs),
    memoryMiB: Math.round(process.resourceUsage().maxRSS / 1_024),
  };
}

await bench();
