import type { V1Node } from '@kubernetes/client-node';
import { findPodFailure, oneShotPodManifest, waitingReason } from '../../activities/helpers/one-shot-pod.ts';
import { podRequests } from '../../activities/kubernetes/pods.ts';
import { predictDrain } from '../../activities/plan/plan-details.ts';
import {
  addedWorkloads,
  evaluateRoom,
  type AddedWorkload,
} from '../../activities/preflight/checks/spare-capacity-added.ts';
import { parseInput } from '../../model/input.ts';
import { podFacts } from '../support/pod-facts.ts';

const node = (name: string, allocatable: object, ready = 'True'): V1Node => ({
  metadata: { name },
  status: {
    allocatable: { cpu: '4', memory: '8Gi', pods: '110', ...allocatable },
    conditions: [{ type: 'Ready', status: ready }],
  },
});
const workload = (name: string, more: Partial<AddedWorkload> = {}): AddedWorkload => ({
  name,
  namespace: 'kube-system',
  selector: { matchLabels: { app: name } },
  requests: { cpu: 0, memory: 0 },
  ...more,
});

describe('evaluateRoom', () => {
  const agent = workload('agent', { requests: { cpu: 0.5, memory: 2 ** 30 } });
  const probers = workload('prober', { namespace: 'cni-live-migration' });

  it('passes when every Ready node has a slot for each pod, and one that checks the node', () => {
    const full = node('full', { pods: '4' });

    const finding = evaluateRoom(
      [agent, probers],
      [full, node('away', { pods: '0' }, 'False')],
      [podFacts('shop/web', { node: 'full' })]
    );

    expect(finding).toMatchObject({ verdict: 'pass' });
  });

  it.each([
    ['pods', { pods: '3' }, 'small (pods: 2 free of 3 needed)'],
    ['CPU', { cpu: '400m' }, 'small (cpu: 0.4 free of 0.5 needed)'],
    ['memory', { memory: '512Mi' }, 'small (memory: 512 MiB free of 1024 MiB needed)'],
  ])('blocks when a node has too little room for %s', (_, allocatable, words) => {
    const finding = evaluateRoom(
      [agent, probers],
      [node('large', {}), node('small', allocatable)],
      [podFacts('shop/web', { node: 'small' })]
    );

    expect(finding.verdict).toBe('block');
    expect(finding.evidence.join()).toContain(words);
  });

  it('does not count pods twice that an earlier run has added', () => {
    const pods = [
      podFacts('kube-system/agent-1', { node: 'full', labels: { app: 'agent' }, requests: agent.requests }),
      podFacts('cni-live-migration/prober-1', { node: 'full' }),
      podFacts('shop/done', { node: 'full', finished: true }),
    ];

    expect(evaluateRoom([agent, probers], [node('full', { pods: '3' })], pods)).toMatchObject({ verdict: 'pass' });
  });

  it('blocks when the pods of a Deployment find no room on any node', () => {
    const operator = workload('operator', { replicas: 2 });

    const finding = evaluateRoom([operator], [node('a', { pods: '2' }), node('b', { pods: '1' })], []);

    expect(finding.verdict).toBe('block');
    expect(finding.evidence.join()).toContain('all nodes (pods: 1 free of 2 needed)');
  });

  it('reads the workloads and their requests from rendered objects', () => {
    const template = { spec: { containers: [{ name: 'c', resources: { requests: { cpu: '100m', memory: '1Ki' } } }] } };
    const selector = { matchLabels: { app: 'x' } };
    const objects = [
      { kind: 'DaemonSet', metadata: { name: 'x', namespace: 'n' }, spec: { selector, template } },
      { kind: 'Deployment', metadata: { name: 'y', namespace: 'n' }, spec: { replicas: 2, selector, template } },
      { kind: 'ConfigMap', metadata: { name: 'z', namespace: 'n' } },
    ];

    expect(addedWorkloads(objects)).toEqual([
      { name: 'x', namespace: 'n', selector, requests: { cpu: 0.1, memory: 1024 } },
      { name: 'y', namespace: 'n', selector, requests: { cpu: 0.1, memory: 1024 }, replicas: 2 },
    ]);
  });
});

describe('podRequests', () => {
  const container = (cpu: string, more: object = {}) => ({ name: 'c', resources: { requests: { cpu } }, ...more });

  it.each([
    ['containers', { containers: [container('1'), container('2')] }, 3],
    ['a large init container', { containers: [container('1')], initContainers: [container('4')] }, 4],
    [
      'a sidecar, which also runs next to later init containers',
      {
        containers: [container('1')],
        initContainers: [container('1', { restartPolicy: 'Always' }), container('3')],
      },
      4,
    ],
    ['overhead', { containers: [container('1')], overhead: { cpu: '500m' } }, 1.5],
    ['the whole pod', { containers: [container('1')], resources: { requests: { cpu: '2' } } }, 2],
  ])('counts %s', (_, spec, cpu) => {
    expect(podRequests(spec).cpu).toBe(cpu);
  });
});

describe('a pod that runs once', () => {
  const terminated = [
    { name: 'c', image: '', imageID: '', ready: false, restartCount: 0, state: { terminated: { exitCode: 1 } } },
  ];
  const message = "Node didn't have enough resource: pods, requested: 1, used: 110, capacity: 110";

  it.each([
    ['rejected by the kubelet', { phase: 'Failed', reason: 'OutOfpods', message }, `OutOfpods: ${message}`],
    ['evicted while it ran', { phase: 'Failed', reason: 'Evicted', containerStatuses: terminated }, 'Evicted'],
    ['failed without a reason', { phase: 'Failed' }, 'it failed without a reason'],
    ['ended by its own exit code', { phase: 'Failed', containerStatuses: terminated }, undefined],
    ['still Pending', { phase: 'Pending' }, undefined],
    ['successful', { phase: 'Succeeded', containerStatuses: terminated }, undefined],
  ])('%s', (_, status, expected) => {
    expect(findPodFailure({ status })).toBe(expected);
  });

  it('reports why its container has not started', () => {
    const [status] = terminated;
    const waiting = { reason: 'ErrImagePull', message: 'not found' };
    const containerStatuses = status === undefined ? [] : [{ ...status, state: { waiting } }];

    expect(waitingReason({ status: { containerStatuses } })).toBe('ErrImagePull: not found');
    expect(waitingReason({ status: { phase: 'Pending' } })).toBeUndefined();
  });

  it('has no priority with which the kubelet would kill other pods', () => {
    const manifest = oneShotPodManifest({ app: 'verify', node: 'a', container: { name: 'c' } });

    expect(JSON.stringify(manifest)).not.toContain('priority');
  });
});

it('lists the pods of Jobs that a drain interrupts', () => {
  const parsed = parseInput({ cluster: 'prod' });
  if ('problems' in parsed) throw new Error(parsed.problems.join());
  const pods = [
    podFacts('shop/report-1', { controller: 'Job' }),
    podFacts('shop/report-0', { controller: 'Job', finished: true }),
    podFacts('shop/web-1'),
  ];

  expect(predictDrain('a', pods, parsed.input)).toMatchObject({
    evicted: ['shop/report-1', 'shop/web-1'],
    jobs: ['shop/report-1'],
  });
  expect(predictDrain('a', pods.slice(2), parsed.input)).not.toHaveProperty('jobs');
});
