import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { parseAllDocuments } from 'yaml';
import { workerAdmission } from '../../deploy/admission/generate.ts';
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

const objects = (yaml: string): unknown[] => [...parseAllDocuments(yaml)].map((document) => document.toJS() as unknown);

it("has the worker's permissions in deploy/, without wildcards", async () => {
  const text = await readFile(path.resolve(import.meta.dirname, '..', '..', 'deploy', 'rbac', 'worker.yaml'), 'utf8');
  expect(objects(text)).toEqual(objects(workerRbac()));
  expect(JSON.stringify(objects(text))).not.toContain('"*"');
});

it("has current policies on the worker's writes in deploy/", async () => {
  const file = path.resolve(import.meta.dirname, '..', '..', 'deploy', 'admission', 'worker.yaml');
  expect(objects(await readFile(file, 'utf8'))).toEqual(objects(workerAdmission()));
});

it('generates docs/performance.md from the recorded results', async () => {
  const text = await readFile(path.resolve(import.meta.dirname, '..', '..', 'docs', 'performance.md'), 'utf8');
  expect(normalizeText(text)).toBe(normalizeText(await performanceText()));
});
