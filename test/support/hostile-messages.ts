import { defaultPayloadConverter, type Payload } from '@temporalio/common';
import * as fc from 'fast-check';
import { EncryptionCodec } from '../../temporal/encryption.ts';
import { rawPayload, testKeys } from './payloads.ts';

/** A message as any client can send it. */
export interface HostileMessage {
  kind: 'signal' | 'update' | 'query';
  /** Index among the names that the receiver has registered, and further ones. */
  name: number;
  payloads: Payload[];
  headers: Record<string, Payload>;
}

/** Text in a message that stands for the ID of the receiver's run. */
export const runIdPlaceholder = '$RUN';

/** Names that no workflow has registered. */
export const unknownNames = ['aprove', '__temporal_x', '__stack_trace', '__proto__', 'constructor', ' ', '\u202e\n'];

/** About 2 MB each, which is as much as Temporal accepts; each exhausts a search or a parser that is not linear. */
const longTexts: readonly string[] = [
  JSON.stringify('eyJ-'.repeat(480_000)),
  JSON.stringify({ reason: 'eyJ-'.repeat(60_000) }),
  JSON.stringify({ by: `client-key-data${' '.repeat(1_900_000)}` }),
  JSON.stringify({ node: `client-key-data${' '.repeat(240_000)}` }),
  JSON.stringify({ reason: '-----BEGIN A '.repeat(19_000) }),
  JSON.stringify({ reason: '://a:'.repeat(45_000) }),
  JSON.stringify({ ['k'.repeat(200_000)]: Array(19_000).fill('x') }),
  JSON.stringify({ node: 'a', parentRunId: runIdPlaceholder, blockers: Array(30_000).fill({ pod: 'p' }) }),
  JSON.stringify({ reason: '\u202e'.repeat(300_000) }),
  '{"a":'.repeat(300_000) + '1' + '}'.repeat(300_000),
  '['.repeat(1_900_000),
  `[${'0,'.repeat(900_000)}0]`,
];

const junk = fc.oneof(
  fc.jsonValue({ maxDepth: 2 }) as fc.Arbitrary<unknown>,
  fc.string({ unit: 'binary', maxLength: 60 }),
  fc.constantFrom<unknown>(
    'a',
    'b',
    'c',
    'constructor',
    '__proto__',
    'shop/web-1',
    '',
    0,
    -1,
    1e308,
    true,
    null,
    {},
    []
  )
);
const name = fc.oneof(fc.constantFrom('a', 'b', 'constructor', 'eu', 'us', 'prod'), junk);
const flag = fc.oneof(fc.constant(true), junk);
const number = fc.oneof(fc.integer({ min: -1, max: 6_000 }), junk);
const blockers = fc.oneof(
  fc.array(fc.record({ pod: fc.string(), reason: fc.string(), kind: fc.string() }), { maxLength: 3 }),
  fc.array(junk, { maxLength: 3 }),
  junk
);
const repeatedStep = fc.record({
  ...{ step: name, state: fc.constantFrom('repeating', 'overdue', 'stopped', 'x'), attempts: number },
  ...{ since: fc.oneof(fc.constant('2026-01-01T00:00:00Z'), junk), failedAt: junk, mayBeSkipped: flag },
  failure: fc.oneof(fc.record({ type: fc.string(), message: fc.string() }), junk),
});

/** Values of every field of every message, valid ones and others. */
const fields: Readonly<Record<string, fc.Arbitrary<unknown>>> = {
  ...{ node: name, cluster: name, by: name, reason: name, step: name, apiVersion: name },
  ...{ plan: flag, cutover: flag, cleanup: flag, all: flag, outsideWindows: flag, ended: flag, needsRepair: flag },
  ...{ wave: number, maxConcurrency: number, migrated: number, nodes: number, from: number, count: number },
  ...{ pod: fc.oneof(fc.constant('shop/web-1'), name), phase: name, waitingFor: name, states: junk, blockers },
  parentRunId: fc.oneof(fc.constant(runIdPlaceholder), name),
  repeatedSteps: fc.oneof(fc.array(repeatedStep, { maxLength: 2 }), junk),
  isRestoring: flag,
};
const fieldNames = Object.keys(fields);
const object = fc
  .subarray(fieldNames, { maxLength: 3 })
  .chain((names) => fc.record(Object.fromEntries(names.map((field) => [field, fields[field] ?? junk]))));
/** What a node's workflow sends, with one field that may be wrong. */
const progress = fc.record({ node: name, blockers, parentRunId: fields['parentRunId'] ?? junk });

const encodings = [
  'json/plain',
  'binary/null',
  'binary/plain',
  'json/protobuf',
  'binary/protobuf',
  'x/y',
  '\u202e',
  '',
];
const bytes = fc.uint8Array({ maxLength: 40 }).map((data) => Buffer.from(data));
const metadata = fc
  .subarray(['encoding', 'encryption-key-id', 'encryption-binding', 'decryption-problem', 'encryption-required'])
  .chain((keys) =>
    fc.record(
      Object.fromEntries(
        keys.map((key) => [
          key,
          fc.oneof(
            bytes,
            fc.constantFrom('binary/encrypted', 'k1', 'damaged', 'other-place', '{}').map((text) => Buffer.from(text))
          ),
        ])
      )
    )
  ) as fc.Arbitrary<Record<string, Uint8Array>>;

const toJson = (value: unknown): Payload => defaultPayloadConverter.toPayload(value);
const encrypt = (keyId: string, payload: Payload): Payload =>
  new EncryptionCodec(testKeys(keyId)).encodeFor([payload], undefined)[0] ?? {};

const payload: fc.Arbitrary<Payload> = fc.oneof(
  { weight: 8, arbitrary: object.map(toJson) },
  { weight: 3, arbitrary: progress.map(toJson) },
  { weight: 4, arbitrary: (fc.jsonValue() as fc.Arbitrary<unknown>).map(toJson) },
  { weight: 2, arbitrary: junk.map(toJson) },
  {
    weight: 2,
    arbitrary: fc.tuple(fc.constantFrom('k1', 'k2'), object).map(([id, value]) => encrypt(id, toJson(value))),
  },
  {
    weight: 2,
    arbitrary: fc.tuple(fc.constantFrom(...encodings), fc.string()).map(([e, text]) => rawPayload(e, text)),
  },
  { weight: 2, arbitrary: fc.record({ metadata, data: bytes }) },
  { weight: 1, arbitrary: fc.constantFrom<Payload>({}, { metadata: {} }, { data: Buffer.from('{}') }) }
);
const longPayload = fc.constantFrom(...longTexts).map((text) => rawPayload('json/plain', text));

/** Any message. Few are long, because each takes as long as hundreds of others. */
export const hostileMessage: fc.Arbitrary<HostileMessage> = fc.record({
  kind: fc.constantFrom('signal' as const, 'signal' as const, 'update' as const, 'query' as const),
  name: fc.nat({ max: 10_000 }),
  payloads: fc.oneof(
    { weight: 90, arbitrary: payload.map((only) => [only]) },
    { weight: 8, arbitrary: fc.array(payload, { maxLength: 3 }) },
    { weight: 1, arbitrary: longPayload.map((only) => [only]) }
  ),
  headers: fc.oneof(
    { weight: 9, arbitrary: fc.constant({}) },
    { weight: 1, arbitrary: payload.map((header) => ({ '_tracer-data': header })) }
  ),
});
