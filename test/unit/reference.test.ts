import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { parseAllDocuments } from 'yaml';
import { workerRbac } from '../../deploy/rbac/generate.ts';
import { performanceText } from '../bench/performance-text.ts';
import { preflightReference } from '../../docs/reference/generate.ts';
import { checkNames } from '../../model/preflight.ts';

/** Returns the text without the layout that Prettier gives to tables. */
const normalizeText = (markdown: string): string => markdown.replaceAll(/[\s|:-]+/g, ' ').trim();

const file = path.resolve(import.meta.dirname, '..', '..', 'docs', 'reference', 'preflight.md');

it('has a reference of the checks that is as the checks are: "npm run docs" makes it', async () => {
  const text = await readFile(file, 'utf8');
  expect(normalizeText(text)).toBe(normalizeText(preflightReference()));
  for (const name of checkNames) expect(text).toContain(`## ${name}\n`);
});

it('has rights in deploy/ that are those the worker asks for, none of them for everything', async () => {
  const text = await readFile(path.resolve(import.meta.dirname, '..', '..', 'deploy', 'rbac', 'worker.yaml'), 'utf8');
  const objects = (yaml: string): unknown[] =>
    [...parseAllDocuments(yaml)].map((document) => document.toJS() as unknown);
  expect(objects(text)).toEqual(objects(workerRbac()));
  expect(JSON.stringify(objects(text))).not.toContain('"*"');
});

it('is as docs/performance.md has it: everything that was measured, and nothing by hand', async () => {
  const text = await readFile(path.resolve(import.meta.dirname, '..', '..', 'docs', 'performance.md'), 'utf8');
  expect(normalizeText(text)).toBe(normalizeText(await performanceText()));
});
