import { readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { artefactDir, type Artefact } from '../../lab/tools/artefact.ts';
import { buildMissing } from '../../lab/tools/build.ts';

/** Output of this program, as JSON. */
export interface SampleOutcome {
  /** Content of the tools' only file: "built", or the content from a bundle. */
  made: Record<string, string>;
  /** Reported lines. */
  lines: string[];
}

/** Returns a tool that is built at once and needs nothing. */
function sampleTool(name: string, key: string): Artefact {
  return { name, key, needs: [], build: (dir) => writeFile(path.join(dir, 'how'), 'built') };
}

// Creates the tools that the command line names after their key, in the folder and from the bundle that the environment
// names.
const [key = '', ...names] = process.argv.slice(2);
const tools = names.map((name) => sampleTool(name, key));
const lines: string[] = [];
await buildMissing(tools, (line) => lines.push(line));
const createdTools = await Promise.all(
  tools.map(async (tool) => [tool.name, await readFile(path.join(artefactDir(tool), 'how'), 'utf8')] as const)
);
console.log(JSON.stringify({ made: Object.fromEntries(createdTools), lines } satisfies SampleOutcome));
