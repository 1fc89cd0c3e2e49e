import * as fc from 'fast-check';
import type { MessageName } from '../../../model/message-schemas.ts';

/** Names of the nodes of every scenario. */
export const nodeNames = ['a', 'b', 'c', 'd'] as const;

/** A message to a migration. */
export interface Message {
  name: MessageName;
  input: Readonly<Record<string, unknown>>;
}

/** What happens to a migration from outside. */
export type Event =
  | { kind: 'message'; message: Message; as: 'signal' | 'update' }
  | { kind: 'cancel' }
  | { kind: 'terminate' }
  /** The API server does not answer for a while. */
  | { kind: 'outage'; ms: number };

const node = fc.constantFrom(...nodeNames);
const nodeInput = node.map((name) => ({ node: name }));

const message: fc.Arbitrary<Message> = fc.oneof(
  fc.record({
    name: fc.constant('approve' as const),
    input: fc.oneof(
      nodeInput,
      fc.integer({ min: 1, max: 4 }).map((wave) => ({ wave })),
      fc.constant({ plan: true }),
      fc.constantFrom({ cutover: true }, { cleanup: true })
    ),
  }),
  fc.record({ name: fc.constantFrom('skip' as const, 'retry' as const, 'reject' as const), input: nodeInput }),
  fc.record({ name: fc.constant('rollback' as const), input: nodeInput }),
  fc.record({ name: fc.constantFrom('pause' as const, 'resume' as const), input: fc.constant({}) }),
  fc.record({
    name: fc.constant('setMaxConcurrency' as const),
    input: fc.integer({ min: 1, max: 3 }).map((maxConcurrency) => ({ maxConcurrency })),
  }),
  fc.record({ name: fc.constant('forcePod' as const), input: fc.constant({ pod: 'shop/web-1' }) })
);

/** Messages that end a run; they are rare. */
const finalMessage: fc.Arbitrary<Message> = fc.oneof(
  fc.record({ name: fc.constant('abort' as const), input: fc.constant({}) }),
  fc.record({ name: fc.constant('rollback' as const), input: fc.constant({ all: true }) }),
  fc.record({
    name: fc.constant('reject' as const),
    input: fc.constantFrom({ plan: true }, { cutover: true }, { cleanup: true }),
  })
);

const as = fc.constantFrom('signal' as const, 'update' as const);
const send = (arbitrary: fc.Arbitrary<Message>): fc.Arbitrary<Event> =>
  fc.record({ kind: fc.constant('message' as const), message: arbitrary, as });

const event: fc.Arbitrary<Event> = fc.oneof(
  { weight: 16, arbitrary: send(message) },
  { weight: 2, arbitrary: send(finalMessage) },
  { weight: 1, arbitrary: fc.constant({ kind: 'cancel' as const }) },
  { weight: 1, arbitrary: fc.constant({ kind: 'terminate' as const }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('outage' as const), ms: fc.integer({ min: 50, max: 500 }) }) }
);

/** Steps that fail permanently, until an operator repairs their cause. */
const failingSteps = [
  ...['drain to cilium', 'flipNode', 'verify cilium', 'recycle to cilium', 'checkGates'],
  ...['revertNodeFlip', 'verify canal', 'restartOutdatedAgent', 'cleanHost'],
];

/** A migration, and what happens to it. */
export const scenario = fc.record({
  approval: fc.constantFrom('none', 'canary-only', 'every-wave', 'every-node'),
  cleanup: fc.constantFrom('approve', 'approve', 'automatic'),
  onFailure: fc.constantFrom('wait', 'rollback', 'stop'),
  drainMode: fc.constantFrom('evict', 'evict', 'recycle'),
  /** Maximum number of nodes in a wave. */
  size: fc.integer({ min: 1, max: 3 }),
  soakSeconds: fc.constantFrom(0, 0, 3_600),
  controlPlanes: fc.subarray([...nodeNames], { maxLength: 2 }),
  cordonedBefore: fc.subarray([...nodeNames], { maxLength: 2 }),
  /** Events after which a run continues as new. */
  historyLimit: fc.option(fc.integer({ min: 120, max: 400 })),
  events: fc.array(fc.record({ afterMs: fc.integer({ min: 0, max: 400 }), event }), { maxLength: 16 }),
  failures: fc.array(fc.record({ step: fc.constantFrom(...failingSteps), node }), { maxLength: 2 }),
});

/** See {@link scenario}. */
export type Scenario = typeof scenario extends fc.Arbitrary<infer T> ? T : never;
