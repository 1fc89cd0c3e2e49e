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

it('has a current reference of the checks: "npm run docs" generates it', async () => {
  const text = await readFile(file, 'utf8');
  expect(normalizeText(text)).toBe(normalizeText(preflightReference()));
  for (const name of checkNames) expect(text).toContain(`## ${name}\n`);
});

it("has the worker's permissions in deploy/, without wildcards", async () => {
  const text = await readFile(path.resolve(import.meta.dirname, '..', '..', 'deploy', 'rbac', 'worker.yaml'), 'utf8');
  const objects = (yaml: string): unknown[] =>
    [...parseAllDocuments(yaml)].map((document) => document.toJS() as unknown);
  expect(objects(text)).toEqual(objects(workerRbac()));
  expect(JSON.stringify(objects(text))).not.toContain('"*"');
});

it('generates docs/performance.md from the recorded results', async () => {
  const text = await readFile(path.resolve(import.meta.dirname, '..', '..', 'docs', 'performance.md'), 'utf8');
  expect(normalizeText(text)).toBe(normalizeText(await performanceText()));
});
