import { readdir } from 'node:fs/promises';
import Ajv from 'ajv';
import { referenceSchemas } from '../../docs/reference/schemas.ts';
import type { Lab } from '../../lab/cluster/lab.ts';
import { labMigrationRequest } from '../../lab/migration-request.ts';
import { apiVersion } from '../../model/api-version.ts';
import { failureTypes } from '../../model/failure-types.ts';
import { parseFleet } from '../../model/fleet-input.ts';
import { fleetMessageNames, parseFleetMessage } from '../../model/fleet-messages.ts';
import { parseRequest } from '../../model/parse-request.ts';
import { messageNames, parseMessage } from '../../model/message-schemas.ts';
import { searchAttributes } from '../../workflows/search-attributes.ts';
import { extractCommands, extractInputs, pages } from '../support/docs.ts';
import { readSchema, schemaDir, schemaProblems } from '../support/schemas.ts';

const migrationFile = 'migration.schema.json';
const fleetFile = 'fleet.schema.json';
const messagesFile = 'messages.schema.json';
const fleetMessagesFile = 'fleet-messages.schema.json';

interface Definitions {
  $id: string;
  definitions: Record<string, object>;
}

describe('schemas in docs/reference', () => {
  it('equal what "npm run docs" generates', async () => {
    const generated = referenceSchemas();

    const files = (await readdir(schemaDir)).filter((file) => file.endsWith('.schema.json'));

    expect(files.sort()).toEqual(Object.keys(generated).sort());
    for (const file of files)
      expect({ file, schema: await readSchema(file) }).toEqual({ file, schema: generated[file] });
  });

  it('are valid, and have the version of the contract in their $id', async () => {
    for (const file of (await readdir(schemaDir)).filter((name) => name.endsWith('.schema.json'))) {
      const schema = await readSchema(file);
      expect(new Ajv().validateSchema(schema)).toBe(true);
      expect((schema as Definitions).$id).toBe(
        `urn:${apiVersion.replace('/', ':')}:${file.replace('.schema.json', '')}`
      );
    }
  });

  it('list every message, type of failure and search attribute', async () => {
    const definitions = async (file: string): Promise<string[]> =>
      Object.keys(((await readSchema(file)) as Definitions).definitions);

    expect(await definitions(messagesFile)).toEqual(messageNames);
    expect(await definitions(fleetMessagesFile)).toEqual(fleetMessageNames);
    for (const type of failureTypes) {
      expect(await schemaProblems({ type, message: 'x' }, 'failures.schema.json')).toEqual([]);
    }
    expect(await schemaProblems({ type: 'Unheard', message: 'x' }, 'failures.schema.json')).not.toEqual([]);
    const attributes = Object.values(searchAttributes).map(({ name }) => [name, 'x']);
    const { properties } = (await readSchema('search-attributes.schema.json')) as { properties: object };
    expect(Object.keys(properties)).toEqual(attributes.map(([name]) => name));
  });

  it('describe every field of an input and of a message', async () => {
    const undescribed: string[] = [];
    const collect = (schema: unknown, where: string): void => {
      if (typeof schema !== 'object' || schema === null) return;
      for (const [name, property] of Object.entries((schema as { properties?: object }).properties ?? {})) {
        if (!('description' in (property as object))) undescribed.push(`${where}.${name}`);
      }
      for (const [name, child] of Object.entries(schema)) if (name !== 'if') collect(child, `${where}.${name}`);
    };

    for (const file of [migrationFile, fleetFile, messagesFile, fleetMessagesFile])
      collect(await readSchema(file), file);

    expect(undescribed).toEqual([]);
  });
});

describe('inputs', () => {
  it.each([
    ['only a cluster', { cluster: 'prod' }],
    ['its version and its schema', { $schema: './migration.schema.json', apiVersion, cluster: 'prod' }],
    ['values of every kind', { cluster: 'prod', values: { a: [1, null, { b: 'c' }], d: true } }],
    ['a hook with its queue', { cluster: 'prod', reboot: { mode: 'hook', taskQueue: 'reboots' } }],
    ['gates', { cluster: 'prod', gates: { paths: { 'pod-api': null }, http: [{ url: 'https://example.com/ok' }] } }],
    ['consents', { cluster: 'prod', drain: { deleteEmptyDirData: ['shop/cache-*'], evictUnmanagedPods: true } }],
    ['windows', { cluster: 'prod', windows: [{ start: '22:00', end: '05:00', timeZone: 'Europe/Berlin' }] }],
  ])('accepts an input with %s, as the worker does', async (_, input) => {
    expect(parseRequest(input)).toHaveProperty('input');
    expect(await schemaProblems(input, migrationFile)).toEqual([]);
  });

  it.each([
    ['nothing', undefined],
    ['no cluster', {}],
    ['a misspelt field', { cluster: 'prod', podCIDR: '10.245.0.0/16' }],
    ['another version', { cluster: 'prod', apiVersion: 'cni-migration/v2' }],
    ['a schema that is no text', { cluster: 'prod', $schema: 1 }],
    ['a CIDR without a mask', { cluster: 'prod', podCidr: '10.245.0.0' }],
    ['a port as text', { cluster: 'prod', tunnelPort: '8473' }],
    ['a YAML 1.1 boolean', { cluster: 'prod', dryRun: 'yes' }],
    ['a misspelt field of drain', { cluster: 'prod', drain: { force: true } }],
    ['a hook without a queue', { cluster: 'prod', reboot: { mode: 'hook' } }],
    ['an unknown check', { cluster: 'prod', waivers: [{ check: 'weather', reason: 'sun' }] }],
    ['an unknown kind of path', { cluster: 'prod', gates: { paths: { 'pod-moon': 1 } } }],
  ])('refuses an input with %s, as the worker does', async (_, input) => {
    expect(parseRequest(input)).toHaveProperty('problems');
    expect(await schemaProblems(input ?? null, migrationFile)).not.toEqual([]);
  });

  const clusters = [{ cluster: 'a' }, { cluster: 'b', apiVersion, reboot: { taskQueue: 'reboots' } }];

  it('accepts a fleet whose clusters complete the defaults, as the worker does', async () => {
    const input = {
      $schema: 'x',
      apiVersion,
      fleet: 'eu',
      clusters: clusters.slice(1),
      defaults: { reboot: { mode: 'hook' } },
    };

    expect(parseFleet(input)).toHaveProperty('input');
    expect(await schemaProblems(input, fleetFile)).toEqual([]);
  });

  it.each([
    ['another version', { fleet: 'eu', clusters, apiVersion: 'v1' }],
    ['a cluster of another version', { fleet: 'eu', clusters: [{ cluster: 'a', apiVersion: 'v1' }] }],
    ['a cluster without a name', { fleet: 'eu', clusters: [{}] }],
    ['a misspelt default', { fleet: 'eu', clusters, defaults: { podCIDR: '10.245.0.0/16' } }],
    ['a misspelt field', { fleet: 'eu', clusters, paralel: 3 }],
  ])('refuses a fleet with %s, as the worker does', async (_, input) => {
    expect(parseFleet(input)).toHaveProperty('problems');
    expect(await schemaProblems(input, fleetFile)).not.toEqual([]);
  });

  it('accepts the request of the lab', async () => {
    const lab = {
      layout: { context: 'lab', nodeNames: ['a', 'b'], controlPlaneAddress: '10.0.0.1' },
      catalogue: { ciliumChart: '/charts/cilium' },
    };

    const request = labMigrationRequest(lab as unknown as Lab);

    expect(await schemaProblems(JSON.parse(JSON.stringify(request)), migrationFile)).toEqual([]);
  });
});

describe('messages', () => {
  it.each([
    ['approve', { plan: true, by: 'ann', apiVersion }],
    ['approve', { wave: 2, reason: 'tested' }],
    ['rollback', { all: true }],
    ['pause', {}],
    ['forcePod', { pod: 'shop/web-1' }],
  ] as const)('accepts %s %j, as the worker does', async (name, message) => {
    expect(parseMessage(name, message)).toHaveProperty('message');
    expect(await schemaProblems(message, messagesFile, name)).toEqual([]);
  });

  it.each([
    ['approve', {}],
    ['approve', { plan: true, node: 'a' }],
    ['approve', { plan: true, apiVersion: 'cni-migration/v2' }],
    ['rollback', { node: 'a', all: true }],
    ['skip', { node: 'a', because: 'of it' }],
    ['forcePod', { pod: 'web-1' }],
  ] as const)('refuses %s %j, as the worker does', async (name, message) => {
    expect(parseMessage(name, message)).toHaveProperty('problem');
    expect(await schemaProblems(message, messagesFile, name)).not.toEqual([]);
  });

  it('names both versions when it refuses one, and quotes nothing else', () => {
    const refusal = (version: unknown): object => parseFleetMessage('pause', { apiVersion: version });

    expect(refusal('cni-migration/v2')).toEqual({
      problem: 'apiVersion: must be cni-migration/v1; this worker does not know cni-migration/v2',
    });
    for (const version of ['a b c', 'x'.repeat(100), 1, null, {}]) {
      expect(refusal(version)).toEqual({ problem: 'apiVersion: must be cni-migration/v1' });
    }
  });
});

describe('examples in the documentation', () => {
  it('are valid inputs and messages', async () => {
    const wrong: string[] = [];
    let examples = 0;
    const check = async (data: unknown, file: string, definition?: string): Promise<void> => {
      examples++;
      for (const problem of await schemaProblems(data, file, definition))
        wrong.push(`${JSON.stringify(data)}: ${problem}`);
    };
    for (const page of await pages()) {
      for (const line of extractCommands(page)) {
        const [, text] = /--input '([^']*)'/.exec(line) ?? [];
        if (text === undefined) continue;
        const input: unknown = JSON.parse(text);
        const isFleet = line.includes('cni-fleet/') || line.includes('fleetMigration');
        const [, message] = /--name (\w+)/.exec(line) ?? [];
        if (message === undefined) await check(input, isFleet ? fleetFile : migrationFile);
        else if (line.includes(' query ')) continue;
        else await check(input, isFleet ? fleetMessagesFile : messagesFile, message);
      }
      const { cluster, fleet } = extractInputs(page);
      for (const input of cluster) await check(input, migrationFile);
      for (const input of fleet) await check(input, fleetFile);
      for (const [, name = '', text = ''] of page.text.matchAll(/`(\w+)` `(\{"[^`…]*\})`/g)) {
        if (messageNames.some((known) => known === name)) await check(JSON.parse(text), messagesFile, name);
      }
    }

    expect(wrong).toEqual([]);
    expect(examples).toBeGreaterThan(20);
  });
});
