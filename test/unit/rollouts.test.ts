import type { V1Node } from '@kubernetes/client-node';
import { isAway, isSilent } from '../../activities/kubernetes/conditions.ts';
import { describeRollout, evaluateRollout, type DaemonPod } from '../../activities/kubernetes/daemon-sets.ts';
import { parseReadiness } from '../../activities/kubernetes/node-readiness.ts';

const nodes = (...names: string[]) =>
  names.map((name) => ({ name: name.replace('!', ''), leftOut: name.startsWith('!') }));
const pods = (...names: string[]): DaemonPod[] =>
  names.map((name) => ({ node: name.replace('!', ''), current: !name.startsWith('!') }));

describe('evaluateRollout', () => {
  it.each([
    ['every node runs it', 2, pods('a', 'b'), nodes('a', 'b'), { complete: true, waiting: [], leftOut: [] }],
    ['a node is not Ready', 3, pods('a', 'b', '!c'), nodes('a', 'b', '!c'), { complete: true, leftOut: ['c'] }],
    ['a Ready node lacks it', 3, pods('a', '!b', '!c'), nodes('a', 'b', '!c'), { complete: false, waiting: ['b'] }],
    ['a node has no pod yet', 3, pods('a', '!c'), nodes('a', 'b', '!c'), { complete: false, leftOut: ['c'] }],
    ['the new pod replaces an old one', 1, pods('!a', 'a'), nodes('a'), { complete: true, waiting: [] }],
    ['a node that is not Ready runs it', 2, pods('a', 'b'), nodes('a', '!b'), { complete: true, leftOut: [] }],
    ['no node is Ready', 2, pods('!a', '!b'), nodes('!a', '!b'), { complete: false, leftOut: ['a', 'b'] }],
    ['a node has left the cluster', 1, pods('a', '!gone'), nodes('a'), { complete: true, waiting: [], leftOut: [] }],
    ['only a lost node is desired', 1, [], nodes('!a'), { complete: false }],
  ])('%s', (_, desired, daemonPods, presence, expected) => {
    expect(evaluateRollout(desired, daemonPods, presence)).toMatchObject(expected);
  });

  it('is described with the nodes that are missing, and those that are left out', () => {
    const status = { numberAvailable: 1, desiredNumberScheduled: 3, currentNumberScheduled: 3, numberMisscheduled: 0 };
    const daemonSet = { metadata: { namespace: 'kube-system', name: 'cilium' }, status: { ...status, numberReady: 1 } };

    const text = describeRollout(daemonSet, { complete: false, waiting: ['b'], leftOut: ['c'] });

    expect(text).toBe('DaemonSet kube-system/cilium (1 of 3 available; missing on: b; left out, not Ready: c)');
  });
});

describe('a node', () => {
  const now = Date.parse('2026-01-01T12:00:00Z');
  const node = (status: string | undefined, seconds: number): V1Node => {
    const since = new Date(now - seconds * 1_000);
    const ready = { type: 'Ready', lastTransitionTime: since };
    return {
      metadata: { creationTimestamp: since },
      status: { conditions: status === undefined ? [] : [{ ...ready, status }] },
    };
  };

  it.each([
    ['Ready', node('True', 600), { away: false, silent: false }],
    ['without a report for some seconds', node('Unknown', 30), { away: false, silent: false }],
    ['without a report for minutes', node('Unknown', 90), { away: true, silent: true }],
    ['that reports that it is not Ready', node('False', 90), { away: true, silent: false }],
    ['that has just become not Ready', node('False', 30), { away: false, silent: false }],
    ['that has just joined', node(undefined, 5), { away: false, silent: false }],
    ['that never reported', node(undefined, 90), { away: true, silent: true }],
  ])('%s', (_, subject, expected) => {
    expect({ away: isAway(subject, now), silent: isSilent(subject, now) }).toEqual(expected);
  });
});

describe('parseReadiness', () => {
  const columnDefinitions = [{ name: 'Name' }, { name: 'Status' }, { name: 'Roles' }];

  it('reads Ready, also of a cordoned node', () => {
    const rows = ['Ready', 'NotReady', 'Unknown', 'Ready,SchedulingDisabled', 'NotReady,SchedulingDisabled'];

    const readiness = parseReadiness({
      columnDefinitions,
      rows: rows.map((status, index) => ({ cells: [`n${index}`, status, '<none>'] })),
    });

    expect(readiness.filter(({ ready }) => ready).map(({ name }) => name)).toEqual(['n0', 'n3']);
    expect(readiness).toHaveLength(5);
  });

  it('rejects an answer that is no table of nodes', () => {
    expect(() => parseReadiness({ rows: [] })).toThrow('without the columns Name and Status');
  });
});
