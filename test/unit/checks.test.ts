import type { PodFacts } from '../../activities/kubernetes/pods.ts';
import { checksFor, parseCheckResults } from '../../activities/probe/checks.ts';
import { podFacts } from '../support/pod-facts.ts';

function prober(node: string, ip: string | undefined): PodFacts {
  return podFacts(`cni-live-migration/prober-${node}`, { node, ip, controller: 'DaemonSet' });
}

it('checks both networks in both directions, and DNS, service and API server', () => {
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

it('fits into a termination message with any number of nodes', () => {
  const peers = Array.from({ length: 500 }, (_, index) =>
    prober(`node-${index}`, index % 2 ? '10.245.0.1' : '10.244.0.1')
  );
  expect(checksFor(peers, '10.245.0.0/16')).toHaveLength(4 + 6 * 3);
});

it.each([
  ['a list of outcomes', '[{"name":"DNS","ok":true,"ms":1},{"name":"x","ok":false,"ms":2,"error":"lost"}]', 2],
  ['a text', 'PROBE_KEY must have 11 characters', undefined],
  ['an object', '{"name":"DNS","ok":true,"ms":1}', undefined],
  ['nothing', 'null', undefined],
  ['a list of other things', '[null]', undefined],
  ['an outcome that is a text', '[{"name":"DNS","ok":"true","ms":1}]', undefined],
])('parses the outcome of checks: %s', (_, message, length) => {
  expect(parseCheckResults(message)?.length).toBe(length);
});
