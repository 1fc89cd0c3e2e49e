import { readFile, readdir } from 'node:fs/promises';
import path from 'node:path';
import { parseInputText } from '../../client/cli/input.ts';
import { projectDir } from '../../lab/paths.ts';

/** One page of the documentation. */
export interface Page {
  /** Path within the project. */
  file: string;
  text: string;
}

/** Returns every page of the documentation. */
export async function pages(): Promise<Page[]> {
  const inDocs = (await readdir(path.join(projectDir, 'docs'), { recursive: true })).map((file) =>
    path.join('docs', file)
  );
  const files = ['README.md', 'CHANGELOG.md', 'CONTRIBUTING.md', ...inDocs.filter((file) => file.endsWith('.md'))];
  return Promise.all(files.map(async (file) => ({ file, text: await readFile(path.join(projectDir, file), 'utf8') })));
}

/** Returns the inputs that a page shows as files in YAML or JSON, by the name of the field that they all have. */
export function extractInputs({ file, text }: Page): { cluster: object[]; fleet: object[] } {
  const blocks = [...text.matchAll(/^```(?:json|yaml)\n([\s\S]*?)^```$/gm)].flatMap(([, block = '']) => block);
  const inputs = blocks.filter((block) => /^(fleet|cluster):|^ {2}"(fleet|cluster)":/m.test(block));
  const parsed = inputs.map((block) => parseInputText(block, file));
  return {
    cluster: parsed.filter((input) => !('fleet' in input)),
    fleet: parsed.filter((input) => 'fleet' in input),
  };
}

/** Returns the command lines that a page asks readers to type, each on one line. */
export function extractCommands({ text }: Page): string[] {
  return [...text.matchAll(/^ *```sh\n([\s\S]*?)^ *```$/gm)].flatMap(([, block = '']) =>
    block
      .replaceAll(/\\\n\s*/g, ' ')
      .split('\n')
      .map((line) => line.trim())
      .filter((line) => line !== '')
  );
}
