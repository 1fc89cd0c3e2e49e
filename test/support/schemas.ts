import { readFile } from 'node:fs/promises';
import path from 'node:path';
import Ajv from 'ajv';
import { projectDir } from '../../lab/paths.ts';

/** Folder of the generated schemas. */
export const schemaDir = path.join(projectDir, 'docs', 'reference');

/** Returns a schema of the documentation. */
export async function readSchema(file: string): Promise<object> {
  return JSON.parse(await readFile(path.join(schemaDir, file), 'utf8')) as object;
}

/**
 * Validates data.
 * @param file name of the schema in docs/reference.
 * @param definition definition within the schema.
 * @default definition the whole schema
 * @returns one line per problem.
 */
export async function schemaProblems(data: unknown, file: string, definition?: string): Promise<string[]> {
  const schema = await readSchema(file);
  const ajv = new Ajv({ allErrors: true });
  ajv.addSchema(schema, file);
  const validate = ajv.compile({ $ref: definition === undefined ? file : `${file}#/definitions/${definition}` });
  if (validate(data) === true) return [];
  return (validate.errors ?? []).map(({ dataPath, message, params }) => {
    return `${dataPath}: ${message ?? ''} ${JSON.stringify(params)}`;
  });
}
