import type { V1Node } from '@kubernetes/client-node';
import { summarizeList } from '../../../model/summarize.ts';
import { isReady } from '../../kubernetes/conditions.ts';
import { block, pass, warn, worst, type PreflightCheck } from '../check.ts';
import { objectKey } from '../../kubernetes/object-key.ts';

/** Conditions that must be False. */
const pressures = ['MemoryPressure', 'DiskPressure', 'PIDPressure', 'NetworkUnavailable'];

/** Checks that the nodes are healthy. */
export const nodeHealth: PreflightCheck = {
  ensures: 'Every node is Ready and not under pressure.',
  verdicts:
    'Blocks when no node is Ready, or when a Ready node is under pressure or has no network; warns about nodes that are not Ready (they are sidelined until they are) and about cordoned nodes (they stay cordoned).',
  fix: 'Repair the nodes, or remove them from the cluster.',
  rationale: 'Existing problems of nodes would be attributed to the migration.',
  run: async ({ nodes }) => {
    const all = await nodes();
    const ready = all.filter((node) => isReady(node));
    const away = all.filter((node) => !isReady(node)).map(objectKey);
    const pressed = ready.flatMap((node) => listPressures(node).map((pressure) => `${objectKey(node)} ${pressure}`));
    const cordoned = all.filter(({ spec }) => spec?.unschedulable === true).map(objectKey);
    return worst(
      ready.length === 0 ? block('no node is Ready') : pass(`${ready.length} of ${all.length} nodes are Ready`),
      pressed.length > 0 ? block(summarizeList(pressed)) : pass(),
      away.length > 0 ? warn(`not Ready: ${summarizeList(away)}`) : pass(),
      cordoned.length > 0 ? warn(`cordoned: ${summarizeList(cordoned)}`) : pass()
    );
  },
};

function listPressures({ status }: V1Node): string[] {
  return pressures.filter((type) =>
    status?.conditions?.some((condition) => condition.type === type && condition.status === 'True')
  );
}
