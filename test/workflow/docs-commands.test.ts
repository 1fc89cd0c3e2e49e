import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { projectDir } from '../../lab/paths.ts';
import { run } from '../../lab/process.ts';
import { loadCatalogue } from '../../lab/tools/catalogue.ts';
import { extractCommands, extractInputs, pages } from '../support/docs.ts';

/** Checks the commands of the documentation, as far as the programs themselves report whether they know them. */

async function commands(program: RegExp): Promise<string[]> {
  return (await pages()).flatMap(extractCommands).filter((line) => program.test(line));
}

/** Splits a command line into words as a shell does, without the file to which its output goes. */
async function splitWords(line: string): Promise<string[]> {
  const command = line.replace(/ > \S+$/, '');
  return (await run('bash', ['-c', `printf '%s\\0' ${command}`])).split('\0').slice(0, -1);
}

it('has only commands and options that the Temporal CLI knows', async () => {
  const { bin } = await loadCatalogue();
  const lines = await commands(/^temporal /);
  expect(lines.length).toBeGreaterThan(15);
  const helps = new Map<string, string>();
  const wrong: string[] = [];
  for (const line of lines) {
    const all = (await splitWords(line)).slice(1);
    const first = all.findIndex((word) => word.startsWith('-'));
    const command = first === -1 ? all : all.slice(0, first);
    const key = command.join(' ');
    const help = helps.get(key) ?? (await run(bin('temporal'), [...command, '--help']));
    helps.set(key, help);
    // For an unknown command, the CLI shows the help of the parent command.
    if (!help.includes(`temporal ${key}`)) wrong.push(`${line}: no such command`);
    for (const option of all.slice(command.length).filter((word) => /^--[a-z]/.test(word))) {
      if (!help.includes(option)) wrong.push(`${line}: ${option}`);
    }
  }
  expect(wrong).toEqual([]);
});

it('has inputs in them that are JSON', async () => {
  const inputs: string[] = [];
  for (const line of await commands(/^temporal .*--input /)) {
    const all = await splitWords(line);
    inputs.push(all[all.indexOf('--input') + 1] ?? '');
  }
  expect(inputs.length).toBeGreaterThan(8);
  for (const input of inputs) expect(typeof JSON.parse(input)).toBe('object');
});

it('has commands of its own that it knows', async () => {
  const lines = await commands(/^\.\/cni-migrate /);
  expect(lines.length).toBeGreaterThan(5);
  const dir = await mkdtemp(path.join(tmpdir(), 'cni-docs-'));
  try {
    // The files of which the pages show the content.
    for (const inputs of (await pages()).map(extractInputs)) {
      for (const input of inputs.cluster) await writeFile(path.join(dir, 'migration.yaml'), JSON.stringify(input));
      for (const input of inputs.fleet) await writeFile(path.join(dir, 'fleet.yaml'), JSON.stringify(input));
    }
    for (const line of lines) {
      const [, ...all] = await splitWords(line);
      const printed = await run(path.join(projectDir, 'cni-migrate'), [...all, '--print'], { cwd: dir });
      expect(printed).toMatch(/^temporal /);
    }
  } finally {
    await rm(dir, { recursive: true });
  }
});
