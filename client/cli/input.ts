import { createReadStream } from 'node:fs';
import type { Readable } from 'node:stream';
import { LineCounter, isScalar, parseDocument, visit, type Document } from 'yaml';
import { parseFleet, type FleetRequest } from '../../model/fleet-input.ts';
import { parseRequest } from '../../model/parse-request.ts';
import { CliError } from './exit-codes.ts';

/** Maximum size of an input in bytes, comments included. The worker accepts less. */
const maxBytes = 1_048_576;

/** Limit for the expansion of aliases, as `maxAliasCount` of the package `yaml` counts it. */
const maxAliasCount = 100;

/** Maximum number of reported problems. */
const maxProblems = 5;

/** A problem, and where it is. */
interface Problem {
  /** Position in the text, from 0; undefined for the whole text. */
  offset?: number | undefined;
  message: string;
}

/** Options that name an input: its text, or its file. */
export interface InputSource {
  input?: string;
  /** Path, or `-` for standard input. */
  inputFile?: string;
}

/** Options for the input of a cluster's workflow. */
export interface InputOptions extends InputSource {
  dryRun?: boolean;
}

/**
 * Reads an input, which is YAML or JSON.
 * @param stdin stream that is read for the file `-`.
 * @default stdin standard input of the process
 * @returns the fields of the input; none when neither option is given.
 * @throws CliError when it cannot be read or parsed, with line and column.
 */
export async function readInput({ input, inputFile }: InputSource, stdin?: Readable): Promise<Record<string, unknown>> {
  if (input !== undefined && inputFile !== undefined) {
    throw new CliError('usage', 'either --input or --input-file, not both');
  }
  if (inputFile === undefined) return input === undefined ? {} : parseInputText(input, '--input');
  const isStdin = inputFile === '-';
  const name = isStdin ? 'standard input' : inputFile;
  const text = await readText(isStdin ? (stdin ?? process.stdin) : createReadStream(inputFile), name);
  return parseInputText(text, name);
}

/**
 * Reads the input of a cluster's workflow. An input without `cluster` is for any cluster.
 * @throws CliError when it cannot be read or parsed, is not a valid input, or is for another cluster.
 */
export async function readClusterInput(cluster: string, options: InputOptions): Promise<Record<string, unknown>> {
  const input = await readInput(options);
  const named = input['cluster'] ?? cluster;
  if (named !== cluster) {
    throw new CliError('usage', `the input is for the cluster ${JSON.stringify(named)}, the command for "${cluster}"`);
  }
  const request = { ...input, cluster, ...(options.dryRun === true && { dryRun: true }) };
  const parsed = parseRequest(request);
  if ('problems' in parsed) {
    throw new CliError('usage', `not a valid input of a migration:\n${parsed.problems.join('\n')}`);
  }
  return request;
}

async function readText(stream: Readable, name: string): Promise<string> {
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  try {
    for await (const chunk of stream as AsyncIterable<Uint8Array>) {
      bytes += chunk.length;
      if (bytes > maxBytes) break;
      chunks.push(chunk);
    }
  } catch (error) {
    throw new CliError('usage', `${name} cannot be read: ${(error as NodeJS.ErrnoException).code ?? 'unknown'}`);
  }
  if (bytes > maxBytes) throw new CliError('usage', `${name}: is larger than ${maxBytes} bytes`);
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(Buffer.concat(chunks));
  } catch {
    throw new CliError('usage', `${name}: is not text in UTF-8`);
  }
}

/**
 * Parses the input of a fleet with all its clusters, so that a mistake is found before anything is started.
 * @throws CliError with one line per problem.
 */
export function parseFleetRequest(input: Record<string, unknown>): FleetRequest {
  const parsed = parseFleet(input);
  if ('problems' in parsed) throw new CliError('usage', `not a valid input of a fleet:\n${parsed.problems.join('\n')}`);
  return input as FleetRequest;
}

/**
 * Parses YAML 1.2 with its core schema, of which JSON is a subset. Refuses what would be read differently by another
 * parser, or has no equivalent in JSON: duplicate keys, tags, merge keys, several documents, infinite numbers.
 *
 * @param name name of the text in messages.
 * @throws CliError with one line per problem: `name:line:column: problem`.
 */
export function parseInputText(text: string, name: string): Record<string, unknown> {
  const lines = new LineCounter();
  const fail = (problems: readonly Problem[]): never => {
    const described = problems.slice(0, maxProblems).map(({ offset, message }) => {
      const { line, col } = lines.linePos(offset ?? 0);
      return offset === undefined ? `${name}: ${message}` : `${name}:${line}:${col}: ${message}`;
    });
    throw new CliError('usage', described.join('\n'));
  };
  const document = parseDocument(text, {
    version: '1.2',
    schema: 'core',
    merge: false,
    resolveKnownTags: false,
    stringKeys: true,
    uniqueKeys: true,
    prettyErrors: false,
    lineCounter: lines,
  });
  // A warning means that the text is not read as it was written.
  const problems: Problem[] = [...document.errors, ...document.warnings].map(({ code, message, pos }) => {
    return { offset: pos[0], message: describeYamlError(code, message) };
  });
  if (problems.length === 0) problems.push(...findTraps(document));
  if (problems.length > 0) return fail(problems);
  const value = expand(document);
  if ('problem' in value) return fail([{ message: value.problem }]);
  const { data } = value;
  if (typeof data !== 'object' || data === null || Array.isArray(data)) {
    return fail([{ message: 'must be a YAML mapping or a JSON object, such as {"cluster": "my-cluster"}' }]);
  }
  return data as Record<string, unknown>;
}

/** Returns the message for an error of the package `yaml`, whose own messages are partly for programmers. */
function describeYamlError(code: string, message: string): string {
  if (code === 'MULTIPLE_DOCS') return 'a second document starts here; an input is one document';
  if (code === 'NON_STRING_KEY') return 'a key must be text';
  return /call stack|stack overflow/i.test(message) ? 'is nested too deeply' : message;
}

/** Returns what is valid YAML and would not mean in JSON what its author expects. */
function findTraps(document: Document.Parsed): Problem[] {
  const problems: Problem[] = [];
  visit(document, {
    Alias: (_key, alias, path) => {
      const target = alias.resolve(document);
      if (target === undefined) problems.push({ offset: alias.range?.[0], message: `no anchor &${alias.source}` });
      else if (path.includes(target)) {
        problems.push({ offset: alias.range?.[0], message: `*${alias.source} is part of itself` });
      }
    },
    Pair: (_key, { key }) => {
      if (isScalar(key) && key.value === '<<' && key.type === 'PLAIN') {
        problems.push({
          offset: key.range?.[0],
          message: 'merge keys (<<) are not part of YAML 1.2; repeat the fields',
        });
      }
    },
    Scalar: (_key, { value, source = '', range }) => {
      if (typeof value !== 'number') return;
      const isDecimal = /^[-+]?[\d.]+e|\./i.test(source);
      if (!Number.isFinite(value)) problems.push({ offset: range?.[0], message: `${source} is not a finite number` });
      else if (!isDecimal && !Number.isSafeInteger(value)) {
        problems.push({
          offset: range?.[0],
          message: `${source} is too large for a number; quote it to keep its digits`,
        });
      }
    },
  });
  return problems;
}

/** Expands the aliases. */
function expand(document: Document.Parsed): { data: unknown } | { problem: string } {
  try {
    return { data: document.toJS({ maxAliasCount }) as unknown };
  } catch {
    return { problem: `its aliases expand to too many values (limit ${maxAliasCount})` };
  }
}
