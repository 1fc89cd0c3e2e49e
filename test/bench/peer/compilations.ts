import type { Lab } from '../../../lab/cluster/lab.ts';
import { median, rounded } from '../results.ts';

/** A line of an agent's log: the compiled program, and the duration in Go's format. */
const compiled = /Compiled new BPF template.*file-path=\S*\/(\S+\.o) BPFCompilationTime=(\S+)/g;

/**
 * Returns the time in seconds in which the running agents compiled each of their programs: the median of all agents.
 * Each agent compiles them again whenever it starts, and no new pod starts on its node before that.
 */
export async function compileSeconds(lab: Lab): Promise<Record<string, number>> {
  const agents = ['-n', 'kube-system', 'get', 'pods', '-l', 'k8s-app=cilium'];
  const names = (await lab.kubectl(...agents, '-o', 'jsonpath={.items[*].metadata.name}')).split(' ').filter(Boolean);
  const seconds: Record<string, number[]> = {};
  for (const name of names) {
    const log = await lab.kubectl('-n', 'kube-system', 'logs', name, '-c', 'cilium-agent');
    for (const [, program = '', duration = ''] of log.matchAll(compiled))
      (seconds[program] ??= []).push(parseSeconds(duration));
  }
  return Object.fromEntries(Object.entries(seconds).map(([program, all]) => [program, rounded(median(all))]));
}

/** Converts a duration such as 1m2.5s or 850.3ms to seconds. */
function parseSeconds(duration: string): number {
  const units: Record<string, number> = { h: 3_600, m: 60, s: 1, ms: 1e-3, µs: 1e-6, ns: 1e-9 };
  return [...duration.matchAll(/([\d.]+)(h|ms|m|s|µs|ns)/g)].reduce(
    (sum, [, count, unit = '']) => sum + Number(count) * (units[unit] ?? 0),
    0
  );
}
