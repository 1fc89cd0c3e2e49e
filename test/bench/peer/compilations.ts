import type { Lab } from '../../../lab/cluster/lab.ts';
import { median, rounded } from '../results.ts';

/** A line of an agent's log: which program was compiled, and how long that took, as Go writes a duration. */
const compiled = /Compiled new BPF template.*file-path=\S*\/(\S+\.o) BPFCompilationTime=(\S+)/g;

/**
 * How long the agents that run now compiled each of their programs, in seconds: the middle of all agents. Each compiles them
 * anew whenever it starts, and no new pod starts on its node before.
 */
export async function compileSeconds(lab: Lab): Promise<Record<string, number>> {
  const agents = ['-n', 'kube-system', 'get', 'pods', '-l', 'k8s-app=cilium'];
  const names = (await lab.kubectl(...agents, '-o', 'jsonpath={.items[*].metadata.name}')).split(' ').filter(Boolean);
  const seconds: Record<string, number[]> = {};
  for (const name of names) {
    const log = await lab.kubectl('-n', 'kube-system', 'logs', name, '-c', 'cilium-agent');
    for (const [, program = '', duration = ''] of log.matchAll(compiled))
      (seconds[program] ??= []).push(secondsOf(duration));
  }
  return Object.fromEntries(Object.entries(seconds).map(([program, all]) => [program, rounded(median(all))]));
}

/** Of a duration such as 1m2.5s or 850.3ms. */
function secondsOf(duration: string): number {
  const units: Record<string, number> = { h: 3_600, m: 60, s: 1, ms: 1e-3, µs: 1e-6, ns: 1e-9 };
  return [...duration.matchAll(/([\d.]+)(h|ms|m|s|µs|ns)/g)].reduce(
    (sum, [, count, unit = '']) => sum + Number(count) * (units[unit] ?? 0),
    0
  );
}
