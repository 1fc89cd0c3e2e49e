import { runInside } from '../../lab/machine/machine.ts';
import type { Lab } from '../../lab/cluster/lab.ts';

/** Numbers of programs that the agents of a lab found already compiled, and that they compiled. */
export interface Compilations {
  found: number;
  compiled: number;
}

/**
 * Reads the logs of the compilers on the lab's own nodes (ccache's CCACHE_STATSLOG, lab/images/cilium-clang.sh). The
 * statistics of the compiled folder itself count all labs of the machine.
 */
export async function readCompilations({ layout }: Lab): Promise<Compilations> {
  const logs = await Promise.all(
    layout.nodeNames.map((node) => runInside(layout.machineDir(node), ['cat', '/var/run/cilium/compiled.log']))
  );
  const lines = logs.join('\n').split('\n');
  const count = (...names: string[]): number => lines.filter((line) => names.includes(line)).length;
  return { found: count('direct_cache_hit', 'preprocessed_cache_hit'), compiled: count('cache_miss') };
}
