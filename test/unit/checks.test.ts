import type { PodFacts } from '../../activities/kubernetes/pods.ts';
import { checksFor } from '../../activities/probe/checks.ts';
import { podFacts } from '../support/pod-facts.ts';

function prober(node: string, ip: string | undefined): PodFacts {
  return podFacts(`cni-live-migration/prober-${node}`, { node, ip, controller: 'DaemonSet' });
}

it('checks both networks in both directions, beside DNS, service and API server', () => {
  const checks = checksFor(
    [prober('a', '10.245.0.1'), prober('b', '10.244.1.1'), prober('c', undefined)],
    '10.245.0.0/16'
  );
  expect(checks.map((check) => check.name)).toEqual([
    'API server',
    'DNS over UDP',
    'DNS over TCP',
    'service',
    ...['Cilium pod on a', 'Canal pod on b'].flatMap((peer) => [`${peer}, large`, `${peer}, UDP`, `${peer}, reverse`]),
  ]);
});

it('stays within what a termination message holds, however many nodes there are', () => {
  const many = Array.from({ length: 500 }, (_, index) =>
    prober(`node-${index}`, index % 2 ? '10.245.0.1' : '10.244.0.1')
  );
  expect(checksFor(many, '10.245.0.0/16')).toHaveLength(4 + 6 * 3);
});
