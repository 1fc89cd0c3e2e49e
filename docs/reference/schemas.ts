import { z } from 'zod';
import { apiVersion } from '../../model/api-version.ts';
import { failureTypes } from '../../model/failure-types.ts';
import { fleetSchema } from '../../model/fleet-input.ts';
import { fleetMessageSchemas } from '../../model/fleet-messages.ts';
import { inputSchema } from '../../model/input.ts';
import { messageSchemas } from '../../model/message-schemas.ts';
import { startedTypes } from '../../model/workflow-types.ts';
import * as messages from '../../workflows/messages.ts';
import { maxKeyword, searchAttributes } from '../../workflows/search-attributes.ts';
import { TypeSchemas, type JsonSchema } from './type-schemas.ts';

const messagesFile = 'workflows/messages.ts';
const workflowsFile = 'workflows/index.ts';
const reportFile = 'client/report/data.ts';
const failuresFile = 'model/failure-types.ts';
const attributesFile = 'workflows/search-attributes.ts';

/** Returns the JSON Schemas of the contract, by the name of their file in docs/reference. */
export function referenceSchemas(): Record<string, JsonSchema> {
  const types = new TypeSchemas([
    'model/input.ts',
    'model/fleet-input.ts',
    'model/message-schemas.ts',
    'model/fleet-messages.ts',
    failuresFile,
    messagesFile,
    workflowsFile,
    reportFile,
    attributesFile,
  ]);
  const migration = convertZod(inputSchema);
  types.addDescriptions(migration, types.typeOf('model/input.ts', 'MigrationRequest'));
  return {
    'migration.schema.json': root('migration', 'Input of a migration', migrationText, migration),
    'fleet.schema.json': root('fleet', 'Input of a fleet', fleetText, fleet(types, migration)),
    'messages.schema.json': root('messages', 'Messages to a migration', definitionsText('message'), {
      definitions: messageDefinitions(types, messageSchemas, 'model/message-schemas.ts', 'messageSchemas'),
    }),
    'fleet-messages.schema.json': root('fleet-messages', 'Messages to a fleet', definitionsText('message'), {
      definitions: messageDefinitions(types, fleetMessageSchemas, 'model/fleet-messages.ts', 'fleetMessageSchemas'),
    }),
    ...results(types),
    'failures.schema.json': root('failures', 'Failures', failuresText, failures(types)),
    'search-attributes.schema.json': root('search-attributes', 'Search attributes', '', attributes(types)),
  };
}

const migrationText =
  'Input of the workflows clusterMigration, clusterPreflight and clusterPolicyReport. The worker checks more than a ' +
  'schema can express, such as secrets and Helm values that the migration sets itself.';
const fleetText = 'Input of the workflow fleetMigration. The worker parses every cluster with the defaults.';
const failuresText = 'Failure of a workflow, or of a node or cluster in a status.';
const definitionsText = (subject: string): string => `Each definition is the schema of the ${subject} of that name.`;

function root(id: string, title: string, description: string, schema: JsonSchema): JsonSchema {
  const { $schema, ...rest } = schema;
  const urn = `urn:${apiVersion.replace('/', ':')}:${id}`;
  const comment = 'Generated from the code by "npm run docs".';
  return {
    $schema: 'http://json-schema.org/draft-07/schema#',
    $id: urn,
    $comment: comment,
    title,
    ...(description !== '' && { description }),
    ...rest,
  };
}

/** Converts a schema of Zod: what an operator may write, before defaults are applied. */
function convertZod(schema: z.ZodType): JsonSchema {
  const { $schema, ...converted } = z.toJSONSchema(schema, { io: 'input', target: 'draft-07' }) as JsonSchema;
  return tidy(converted) as JsonSchema;
}

/** Removes what Zod adds and other validators do not know or need. */
function tidy(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(tidy);
  if (typeof value !== 'object' || value === null) return value;
  // The only reference is to any JSON value, in Helm values.
  if ('$ref' in value) return {};
  const entries = Object.entries(value).filter(
    ([key, entry]) =>
      key !== 'definitions' &&
      !(key === 'format' && entry === 'cidrv4') &&
      !(key === 'maximum' && entry === Number.MAX_SAFE_INTEGER) &&
      !(key === 'minimum' && entry === Number.MIN_SAFE_INTEGER) &&
      !(key === 'propertyNames' && JSON.stringify(entry) === '{"type":"string"}')
  );
  return Object.fromEntries(entries.map(([key, entry]) => [key, tidy(entry)]));
}

/** Each cluster, and the defaults, may leave out what the other part has. */
function fleet(types: TypeSchemas, migration: JsonSchema): JsonSchema {
  const schema = convertZod(fleetSchema);
  types.addDescriptions(schema, types.typeOf('model/fleet-input.ts', 'FleetRequest'));
  const properties = schema['properties'] as Record<string, JsonSchema>;
  const fields = { allOf: [{ $ref: '#/definitions/clusterFields' }] };
  Object.assign(properties['clusters'] ?? {}, { items: { ...fields, required: ['cluster'] } });
  const { default: defaults, description } = properties['defaults'] ?? {};
  properties['defaults'] = { description, default: defaults, ...fields };
  return { ...schema, definitions: { clusterFields: partial(migration) } };
}

/** Returns a schema for an object that is merged with another one: no field is required. */
function partial({ required, if: condition, then: consequence, ...schema }: JsonSchema): JsonSchema {
  const properties = schema['properties'] as Record<string, JsonSchema> | undefined;
  if (properties === undefined) return schema;
  const parts = Object.entries(properties).map(([name, property]) => [name, partial(property)]);
  return { ...schema, properties: Object.fromEntries(parts) as JsonSchema };
}

function messageDefinitions(
  types: TypeSchemas,
  schemas: Record<string, z.ZodType>,
  file: string,
  exportName: string
): Record<string, JsonSchema> {
  const definitions = Object.entries(schemas).map(([name, schema]): [string, JsonSchema] => [name, convertZod(schema)]);
  const described: JsonSchema = { properties: Object.fromEntries(definitions) };
  types.addDescriptions(described, types.typeOf(file, exportName));
  return Object.fromEntries(definitions);
}

function results(types: TypeSchemas): Record<string, JsonSchema> {
  const queries = [...types.queryResults(messagesFile)].map(([constant, schema]): [string, JsonSchema] => {
    const { name } = (messages as unknown as Record<string, { name: string }>)[constant] ?? { name: constant };
    return [constant.startsWith('fleet') ? constant.replace(/Query$/, '') : name, schema];
  });
  const workflows = startedTypes.map((name) => [name, types.resultOf(workflowsFile, name)] as const);
  const report = types.convert(types.typeOf(reportFile, 'ReportData'));
  const definitions = (schemas: readonly (readonly [string, JsonSchema])[]): JsonSchema => ({
    definitions: { ...Object.fromEntries(schemas), ...usedDefinitions(types, schemas) },
  });
  return {
    'queries.schema.json': root(
      'queries',
      'Results of queries',
      `${definitionsText('query')} "fleetStatus" is the query "status" of a fleet.`,
      definitions(queries)
    ),
    'results.schema.json': root(
      'results',
      'Results of workflows',
      `${definitionsText('workflow')} "report" is the output of cni-migrate report --format json.`,
      definitions([...workflows, ['report', report]])
    ),
  };
}

/** Returns the definitions that the schemas refer to, directly or through others. */
function usedDefinitions(types: TypeSchemas, schemas: readonly (readonly [string, JsonSchema])[]): JsonSchema {
  const used: JsonSchema = {};
  const add = (schema: unknown): void => {
    for (const [, name = ''] of JSON.stringify(schema).matchAll(/"#\/definitions\/(\w+)"/g)) {
      if (name in used) continue;
      used[name] = types.definitions[name];
      add(used[name]);
    }
  };
  add(schemas);
  return used;
}

function failures(types: TypeSchemas): JsonSchema {
  const comments = types.elementComments(failuresFile, 'failureTypes');
  return {
    type: 'object',
    properties: {
      type: { oneOf: failureTypes.map((type) => ({ const: type, description: comments.get(type) ?? '' })) },
      message: { type: 'string', description: 'What happened, where, and what to do.' },
    },
    required: ['type', 'message'],
  };
}

function attributes(types: TypeSchemas): JsonSchema {
  const properties = Object.values(searchAttributes).map(({ name, type }): [string, JsonSchema] => {
    if (type !== 'KEYWORD') throw new Error(`no JSON Schema for a search attribute of type ${String(type)}`);
    return [name, { type: 'string', maxLength: maxKeyword, 'x-temporal-type': 'Keyword' }];
  });
  const byKey = Object.fromEntries(
    Object.keys(searchAttributes).map((key, index) => [key, properties[index]?.[1] ?? {}])
  );
  types.addDescriptions({ properties: byKey }, types.typeOf(attributesFile, 'searchAttributes'));
  return {
    description: types.commentOf(attributesFile, 'searchAttributes'),
    type: 'object',
    properties: Object.fromEntries(properties),
  };
}
