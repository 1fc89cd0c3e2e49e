import type { RepeatedStep } from '../../model/attempts.ts';
import { endNodeWait, pendingNeeds, showNodeWait } from '../../model/pending-needs.ts';
import type { NodeStatus } from '../../model/status.ts';

const at = '2026-01-01T00:00:00Z';
const later = '2026-01-01T00:01:00Z';

it('returns the wait of the migration, and then those of its nodes', () => {
  const reboot: NodeStatus = { name: 'b', state: 'migrating' };
  const repair: NodeStatus = { name: 'c', state: 'migrating' };
  showNodeWait(reboot, { waitingFor: 'a reboot of b' }, at);
  showNodeWait(repair, { waitingFor: 'the step "c: read node", which is repeated', needsRepair: true }, later);
  const waiting = { kind: 'soak' as const, key: 'wave 1', since: at, reminders: 0, answers: [] };
  expect(pendingNeeds({ waiting, nodes: [{ name: 'a', state: 'migrated' }, reboot, repair] })).toEqual([
    { need: 'time', since: at },
    { need: 'reboot', since: at },
    { need: 'repair', since: later },
  ]);
});

it('keeps the start of the wait of a node until it waits for nothing', () => {
  const node: NodeStatus = { name: 'a', state: 'migrating' };
  showNodeWait(node, { waitingFor: 'a repair', needsRepair: true }, at);
  showNodeWait(node, { waitingFor: 'a reboot of a' }, later);
  expect(node).toEqual({ name: 'a', state: 'migrating', waitingFor: 'a reboot of a', waitingSince: at });
  showNodeWait(node, {}, later);
  expect(node).toEqual({ name: 'a', state: 'migrating' });
  showNodeWait(node, { waitingFor: 'a reboot of a' }, later);
  expect(node.waitingSince).toBe(later);
  endNodeWait(node);
  expect(pendingNeeds({ nodes: [node] })).toEqual([]);
});

it('needs a decision for a node whose step has no attempt left, and its answers end with the wait', () => {
  const node: NodeStatus = { name: 'a', state: 'migrating' };
  const stopped: RepeatedStep = {
    ...{ step: 'a: drain', state: 'stopped', attempts: 40, since: at, failedAt: at },
    ...{ failure: { type: 'KubernetesError', message: 'why' } },
  };
  const answers = [{ does: 'try the step again', message: 'retry', input: { node: 'a' } }];

  showNodeWait(node, { waitingFor: 'an answer', needsRepair: true, repeatedSteps: [stopped], answers }, at);

  expect(pendingNeeds({ nodes: [node] })).toEqual([{ need: 'decision', since: at }]);
  showNodeWait(node, {}, later);
  expect(node).toEqual({ name: 'a', state: 'migrating' });
});
