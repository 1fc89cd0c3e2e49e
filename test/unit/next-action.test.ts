import { noDecisions, type Decisions } from '../../model/message-context.ts';
import { inputSchema } from '../../model/input.ts';
import { actionKey, approvalOf, nextAction, type Situation } from '../../model/next-action.ts';
import type { NodeFacts } from '../../model/nodes.ts';
import type { NodeStatus } from '../../model/status.ts';

const early = '2026-01-01T00:00:00.000Z';
const late = '2026-01-01T01:00:00.000Z';
const decision = (at = early) => ({ by: 'ann', reason: '', at });
const failure = { type: 'DrainBlocked', message: 'no' };

interface Options {
  nodes?: NodeStatus[];
  decisions?: Partial<Decisions>;
  input?: Record<string, unknown>;
  waves?: number;
  maxConcurrency?: number;
  paused?: boolean;
  soakUntilMs?: number;
}

/** Returns a situation at the time 1,000 with the nodes a, b and c, unless options say otherwise. */
function situation({
  nodes = pending('a', 'b', 'c'),
  decisions = {},
  input = {},
  waves = 0,
  maxConcurrency = 1,
  paused = false,
  soakUntilMs = 0,
}: Options = {}): Situation {
  const facts = nodes.map(({ name }): NodeFacts => ({
    ...{ name, controlPlane: false, hostsWorker: false, ready: true },
    ...{ flipped: false, cordonedByUs: false, podsOnSource: 0 },
  }));
  return {
    status: {
      ...{ cluster: 'prod', phase: 'migrate', maxConcurrency, waves, nodes },
      ...{ approvals: {}, timeline: [], notes: [] },
      ...(paused && { paused: decision() }),
    },
    decisions: { ...noDecisions(), ...decisions },
    input: inputSchema.parse({ cluster: 'prod', approval: 'none', ...input }),
    facts,
    soakUntilMs,
    nowMs: 1_000,
  };
}

function pending(...names: string[]): NodeStatus[] {
  return names.map((name) => ({ name, state: 'pending' }));
}

const migrated: NodeStatus = { name: '0', state: 'migrated' };
const failed: NodeStatus = { name: 'a', state: 'failed', failure };
const canary = { number: 1, nodes: ['a'], reason: 'canary' };

describe('the most urgent action is the next one', () => {
  const all = {
    nodes: [failed, ...pending('b')],
    decisions: { rollbacks: ['x', 'y'] },
    paused: true,
    soakUntilMs: 2_000,
  };

  it.each<[string, Options, unknown]>([
    ['a rollback, the first one, also while paused', all, { kind: 'rollback', node: 'x' }],
    ['a pause', { ...all, decisions: {} }, { kind: 'resume' }],
    ['a failure', { ...all, decisions: {}, paused: false }, { kind: 'decide', nodes: [failed] }],
    ['the soak', { soakUntilMs: 2_000, input: { approval: 'every-node' } }, { kind: 'soak', untilMs: 2_000 }],
    [
      'the approval',
      { soakUntilMs: 1_000, input: { approval: 'every-node' } },
      { kind: 'approve', wave: canary, missing: ['a'] },
    ],
    ['the wave', {}, { kind: 'start', wave: canary }],
    ['the end', { nodes: [migrated, { name: 'x', state: 'removed' }], soakUntilMs: 2_000 }, { kind: 'finished' }],
  ])('%s', (_, options, expected) => {
    expect(nextAction(situation(options))).toEqual(expected);
  });

  const windows = [{ start: '22:00', end: '05:00' }];
  const mixed: NodeStatus[] = [{ name: 'm', state: 'migrated' }, failed];

  it.each<[string, Partial<Decisions>, unknown]>([
    ['of a node that works, in a window', { rollbacks: ['m'] }, { kind: 'rollback', node: 'm', keepsWindows: true }],
    ['of a node that works, at once', { rollbacks: ['m'], outsideWindows: ['m'] }, { kind: 'rollback', node: 'm' }],
    ['of a failed node first, at once', { rollbacks: ['m', 'a'] }, { kind: 'rollback', node: 'a' }],
  ])('with maintenance windows: a rollback %s', (_, decisions, expected) => {
    expect(nextAction(situation({ nodes: mixed, decisions, input: { windows } }))).toEqual(expected);
  });

  it.each(['failed', 'skipped', 'not-ready', 'rolled-back'] as const)(
    'is a decision when only a %s node is left',
    (state) => {
      const left: NodeStatus = { name: 'a', state };

      expect(nextAction(situation({ nodes: [migrated, left] }))).toEqual({ kind: 'decide', nodes: [left] });
    }
  );

  it('continues with other nodes while one is skipped', () => {
    const nodes: NodeStatus[] = [{ name: 'a', state: 'skipped' }, ...pending('b')];

    expect(nextAction(situation({ nodes }))).toMatchObject({ kind: 'start', wave: { nodes: ['b'] } });
  });

  it('is a decision about a node with a failure that was rolled back automatically', () => {
    const nodes: NodeStatus[] = [{ name: 'a', state: 'rolled-back', failure }, ...pending('b')];

    expect(nextAction(situation({ nodes }))).toMatchObject({ kind: 'decide', nodes: [{ name: 'a' }] });
  });
});

describe('approvals', () => {
  const wave = { nodes: [migrated, ...pending('b', 'c')], maxConcurrency: 2, waves: 1 };
  const approve = (decisions: Partial<Decisions['approvals']>): Partial<Decisions> => ({
    approvals: { nodes: {}, waves: {}, ...decisions },
  });

  it.each<[string, Options, string[] | 'start']>([
    ['none is needed', { ...wave }, 'start'],
    ['each node needs its own', { ...wave, input: { approval: 'every-node' } }, ['b', 'c']],
    ['a wave needs one', { ...wave, input: { approval: 'every-wave' } }, ['b', 'c']],
    ['only the canary needs one: no', { ...wave, input: { approval: 'canary-only' } }, 'start'],
    ['only the canary needs one: yes', { input: { approval: 'canary-only' } }, ['a']],
    ['a requested canary needs one', { input: { approval: 'canary-only', waves: { canaryNode: 'c' } } }, ['c']],
    [
      'one of two nodes is approved',
      { ...wave, input: { approval: 'every-node' }, decisions: approve({ nodes: { b: decision() } }) },
      ['c'],
    ],
    [
      'the wave was approved in advance',
      { ...wave, input: { approval: 'every-wave' }, decisions: approve({ waves: { 2: decision() } }) },
      'start',
    ],
    [
      'another wave was approved in advance',
      { ...wave, input: { approval: 'every-wave' }, decisions: approve({ waves: { 3: decision() } }) },
      ['b', 'c'],
    ],
    [
      'the wave was approved before a node joined',
      {
        ...wave,
        nodes: [migrated, ...pending('b'), { name: 'c', state: 'pending', joinedAt: late }],
        input: { approval: 'every-wave' },
        decisions: approve({ waves: { 2: decision(early) } }),
      },
      ['c'],
    ],
    [
      'a node was approved, left, and joined again',
      {
        ...wave,
        nodes: [migrated, { name: 'b', state: 'pending', joinedAt: late }],
        input: { approval: 'every-node' },
        decisions: approve({ nodes: { b: decision(early) } }),
      },
      ['b'],
    ],
    [
      'a node was approved after it joined',
      {
        ...wave,
        nodes: [migrated, { name: 'b', state: 'pending', joinedAt: early }],
        input: { approval: 'every-node' },
        decisions: approve({ nodes: { b: decision(late) } }),
      },
      'start',
    ],
  ])('%s', (_, options, expected) => {
    const action = nextAction(situation(options));

    expect(action.kind === 'approve' ? action.missing : action.kind).toEqual(expected);
  });

  it('records the approval of the node before that of its wave, but never one from before it joined', () => {
    const { status } = situation({ nodes: [{ name: 'b', state: 'pending', joinedAt: late }] });
    const waves = { 2: { ...decision(late), by: 'bob' } };
    const given = (at: string) =>
      approvalOf('b', 2, { status, decisions: { ...noDecisions(), approvals: { nodes: { b: decision(at) }, waves } } });

    expect(given(late)?.by).toBe('ann');
    expect(given(early)?.by).toBe('bob');
  });
});

describe('the identity of an action', () => {
  const key = (options: Options): string => actionKey(nextAction(situation(options)));
  const perNode = { input: { approval: 'every-node' }, nodes: [migrated, ...pending('b', 'c')], maxConcurrency: 2 };

  it('stays the same while some nodes of a wave are approved', () => {
    const decisions = { approvals: { nodes: { b: decision() }, waves: {} } };

    expect(key({ ...perNode, decisions })).toBe(key(perNode));
  });

  it('stays the same for every message during a soak', () => {
    const soak = { soakUntilMs: 2_000, input: { approval: 'every-node' } };
    const decisions = { approvals: { nodes: { a: decision() }, waves: { 1: decision() } }, forcedPods: ['shop/web'] };

    expect(key({ ...soak, decisions, maxConcurrency: 3 })).toBe(key(soak));
  });

  it.each<[string, Options]>([
    ['a pause', { ...perNode, paused: true }],
    ['a rollback', { ...perNode, decisions: { rollbacks: ['a'] } }],
    ['another size of the wave', { ...perNode, maxConcurrency: 1 }],
    ['another node', { ...perNode, nodes: [migrated, ...pending('b', 'd')] }],
    ['all approvals', { ...perNode, decisions: { approvals: { nodes: { b: decision(), c: decision() }, waves: {} } } }],
  ])('changes with %s', (_, options) => {
    expect(key(options)).not.toBe(key(perNode));
  });

  it('changes when another node fails, or another failure of the same node follows', () => {
    const other: NodeStatus = { name: 'b', state: 'failed', failure };
    const keys = [[failed], [failed, other], [{ ...failed, failure: { ...failure, type: 'GateBreached' } }]].map(
      (nodes) => key({ nodes })
    );

    expect(new Set(keys).size).toBe(3);
  });
});
