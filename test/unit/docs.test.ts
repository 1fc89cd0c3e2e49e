import { existsSync } from 'node:fs';
import { readFile, readdir } from 'node:fs/promises';
import path from 'node:path';
import { gauges } from '../../worker/metrics.ts';
import { projectDir } from '../../lab/paths.ts';
import { failureTypes } from '../../model/failure-types.ts';
import { parseInput } from '../../model/input.ts';
import { messageNames } from '../../model/message-schemas.ts';
import { searchAttributes } from '../../workflows/search-attributes.ts';
import { extractCommands, pages } from '../support/docs.ts';

const page = (file: string): Promise<string> => readFile(path.join(projectDir, file), 'utf8');

/** Returns the anchor of a heading. */
const anchor = (heading: string): string =>
  heading
    .toLowerCase()
    .replaceAll(/[^\p{L}\p{N} _-]/gu, '')
    .replaceAll(' ', '-');

it('has no broken link', async () => {
  const all = await pages();
  const anchors = new Map(
    all.map(({ file, text }) => [file, [...text.matchAll(/^#+ (.*)$/gm)].map(([, heading = '']) => anchor(heading))])
  );
  const broken: string[] = [];
  for (const { file, text } of all) {
    for (const [, target = ''] of text.matchAll(/\]\(([^)\s]+)\)/g)) {
      if (/^https?:/.test(target)) continue;
      const [where = '', section] = target.split('#');
      const to = where === '' ? file : path.join(path.dirname(file), where);
      if (!existsSync(path.join(projectDir, to))) broken.push(`${file}: ${target}`);
      else if (section !== undefined && anchors.get(to)?.includes(section) !== true) broken.push(`${file}: ${target}`);
    }
  }
  expect(broken).toEqual([]);
});

it('documents every failure type, input, message, metric and search attribute', async () => {
  const migrating = await page('docs/migrating.md');
  const install = await page('docs/install.md');
  const parsed = parseInput({ cluster: 'x', backup: 'y', approvalDeadlineSeconds: 60 });
  const inputs = 'input' in parsed ? Object.keys(parsed.input) : [];
  expect(inputs).toContain('approvalDeadlineSeconds');
  const missing = [
    ...[...failureTypes, ...messageNames].filter((name) => !migrating.includes(`\`${name}\``)),
    ...inputs.filter((name) => !migrating.includes(`\`${name}`)),
    ...Object.keys(gauges).filter((name) => !install.includes(name)),
    ...Object.values(searchAttributes).flatMap(({ name }) => (install.includes(name) ? [] : [name])),
  ];
  expect(missing).toEqual([]);
});

it('documents every environment variable', async () => {
  const folders = ['worker', 'temporal', 'client'];
  const files = (
    await Promise.all(
      folders.map(async (folder) =>
        (await readdir(path.join(projectDir, folder), { recursive: true }))
          .filter((file) => file.endsWith('.ts'))
          .map((file) => path.join(folder, file))
      )
    )
  ).flat();
  const texts = await Promise.all(files.map(page));
  const read = new Set(texts.flatMap((text) => [...text.matchAll(/CNI_MIGRATION_[A-Z_]+/g)].map(([name]) => name)));
  expect(read.size).toBeGreaterThan(8);
  const install = await page('docs/install.md');
  expect([...read].filter((name) => !install.includes(name))).toEqual([]);
});

it('uses only existing npm scripts', async () => {
  const { scripts } = JSON.parse(await page('package.json')) as { scripts: Record<string, string> };
  const used = (await pages()).flatMap(({ text }) =>
    [...text.matchAll(/npm run (?:--silent )?([\w:-]+)/g)].map(([, name = '']) => name)
  );
  expect([...new Set(used)].filter((name) => !(name in scripts))).toEqual([]);
});

it('uses only existing metrics in the dashboard', async () => {
  const text = await page('deploy/grafana-dashboard.json');
  const dashboard = JSON.parse(text) as { panels: { targets: { expr: string }[] }[] };
  const used = dashboard.panels.flatMap(({ targets }) =>
    targets.flatMap(({ expr }) => expr.match(/cni_migration_\w+/g) ?? [])
  );
  const known = [...Object.keys(gauges), 'cni_migration_gates_total'];
  expect([...new Set(used)].filter((name) => !known.includes(name))).toEqual([]);
});

it('extracts the commands of a page', () => {
  const text = 'a\n```sh\none \\\n  two\n\nthree # why\n```\n\n   ```sh\n   four\n   ```\n```yaml\nno\n```\n';
  expect(extractCommands({ file: 'x', text })).toEqual(['one  two', 'three # why', 'four']);
});
