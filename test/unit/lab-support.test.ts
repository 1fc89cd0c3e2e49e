import type { LedgerLine } from '../../lab/app/ledger.ts';
import type { PathRecord } from '../../model/ledger.ts';
import { hasPacket } from '../support/overlay-capture.ts';
import { PathStreaks, clientStreaks, wrongLines } from '../support/streaks.ts';
import { parseHistory, activitiesRunningAt } from '../support/workflow-history.ts';

it('counts the samples of a path since the look that showed its last loss', () => {
  const record = (sent: number, lost?: number): PathRecord[] => [
    { kind: 'pod-nodeport', from: 'cilium', peer: 'node1', sent, ...(lost !== undefined && { lost }) },
  ];
  const streaks = new PathStreaks();
  const streak = (sent: number, lost?: number): number | undefined => streaks.update(record(sent, lost))[0]?.streak;

  expect([streak(5), streak(12), streak(20, 1), streak(26, 1), streak(30, 2), streak(34, 2)]).toEqual([
    0, 7, 0, 6, 0, 4,
  ]);
});

const line = (target: string, sent: number, failed: number, error?: string): LedgerLine => ({
  time: '2026-11-28T00:00:00Z',
  pod: 'client-1',
  target,
  sent,
  failed,
  ...(error !== undefined && { error }),
});

it('counts what a client was answered in a row, and of what is forbidden what it was not', () => {
  const lines = [line('web', 20, 0), line('web', 9, 1), line('web', 7, 0), line('web', 6, 0)];
  const forbidden = [line('forbidden', 2, 2), line('forbidden', 2, 1), line('forbidden', 3, 3)];

  expect(clientStreaks([...lines, ...forbidden])).toEqual([
    { client: 'client-1 to web', streak: 13 },
    { client: 'client-1 to forbidden', streak: 3 },
  ]);
});

it('tells a refusal from an answer that came too late', () => {
  const late = line('web', 20, 1, 'Get "http://web:8080/": context deadline exceeded (Client.Timeout exceeded)');
  const refused = line('web', 20, 1, 'dial tcp 10.96.1.2:8080: connect: connection refused');
  const denied = line('forbidden', 2, 2, 'context deadline exceeded');
  const answered = line('forbidden', 2, 1, 'context deadline exceeded');

  expect(wrongLines([late, refused, denied, answered])).toEqual([refused, answered]);
});

it('finds what was under way when a workflow was asked to cancel', () => {
  const at = (second: number): string => `2026-11-28T00:00:0${second}Z`;
  const event = (eventId: number, second: number, type: string, attributes: object): object => ({
    eventId: String(eventId),
    eventTime: at(second),
    eventType: `EVENT_TYPE_${type}`,
    [`${type}EventAttributes`]: attributes,
  });
  const scheduled = (id: number, second: number, name: string): object =>
    event(id, second, 'ACTIVITY_TASK_SCHEDULED', { activityType: { name } });
  const history = parseHistory(
    JSON.stringify({
      events: [
        scheduled(1, 0, 'cordonNode'),
        event(2, 1, 'ACTIVITY_TASK_COMPLETED', { scheduledEventId: '1' }),
        scheduled(3, 2, 'drainNode'),
        scheduled(4, 2, 'flipNode'),
        event(5, 3, 'WORKFLOW_EXECUTION_CANCEL_REQUESTED', {}),
        event(6, 4, 'ACTIVITY_TASK_STARTED', { scheduledEventId: '4', attempt: 2 }),
        event(7, 4, 'ACTIVITY_TASK_CANCELED', { scheduledEventId: '4' }),
        scheduled(8, 5, 'revertNodeFlip'),
        event(9, 6, 'CHILD_WORKFLOW_EXECUTION_STARTED', { workflowExecution: { workflowId: 'w', runId: 'r' } }),
      ],
    })
  );

  const cancelMs = history.cancelRequestedMs ?? 0;
  expect(new Date(cancelMs).toISOString()).toBe('2026-11-28T00:00:03.000Z');
  expect(activitiesRunningAt(history, cancelMs)).toEqual([
    expect.objectContaining({ name: 'drainNode' }),
    expect.objectContaining({ name: 'flipNode', outcome: 'canceled', attempt: 2 }),
  ]);
  expect(history.children).toEqual([{ workflowId: 'w', runId: 'r' }]);
});

it('finds a packet by its overlay, its node and both pods', () => {
  const capture = [
    '12:00:00.1 IP 10.99.1.11.51234 > 10.99.1.12.8473: VXLAN, flags [I] (0x08), vni 7',
    'IP 10.245.0.7.40000 > 10.244.1.5.8080: Flags [S], seq 1, length 0',
    '',
  ].join('\n');
  const packet = { toNodeAddress: '10.99.1.12', fromPod: '10.245.0.7', toPod: '10.244.1.5', toPort: 8080 };

  expect(hasPacket(capture, { ...packet, overlay: 'cilium' })).toBe(true);
  expect(hasPacket(capture, { ...packet, overlay: 'canal' })).toBe(false);
  expect(hasPacket(capture, { ...packet, overlay: 'cilium', toPod: '10.244.1.6' })).toBe(false);
});
