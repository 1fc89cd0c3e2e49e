import type { Artefact } from '../../lab/tools/artefact.ts';
import { buildMissing, findMissingArtefacts } from '../../lab/tools/build.ts';
import { loadCatalogue } from '../../lab/tools/catalogue.ts';
import { reportLine } from './report-file.ts';
import { toolGroups, type ToolGroup } from './suites.ts';

/** Builds what is missing of a group of tools. Its report says what is being built, in case it is killed. */
async function main(): Promise<void> {
  const group = toolGroups.find((name) => name === process.argv[2]);
  if (group === undefined) throw new Error(`usage: build-tools.ts ${toolGroups.join(' | ')}`);
  const artefacts = await selectArtefacts(group);
  await buildMissing(artefacts, (line) => {
    console.log(line);
    reportLine({ event: 'progress', text: line });
  }).catch(async (error: unknown) => {
    const missing = (await findMissingArtefacts(artefacts)).map(({ name }) => name).join(', ');
    reportLine({ event: 'progress', text: `not built: ${missing}` });
    throw error;
  });
}

/** The tools of a group, in the order in which they are best built. */
async function selectArtefacts(group: ToolGroup): Promise<readonly Artefact[]> {
  const { artefacts, controlPlaneArtefacts, hostArtefacts, scriptArtefacts, testArtefacts } = await loadCatalogue();
  const controlPlane = [...new Set([...controlPlaneArtefacts, ...scriptArtefacts, ...hostArtefacts])];
  switch (group) {
    case 'control plane':
      return controlPlane;
    case 'lab':
      return artefacts;
    case 'stack':
      return [...new Set([...controlPlane, ...testArtefacts])];
  }
}

try {
  await main();
} catch (error) {
  const message = error instanceof Error ? error.message : String(error);
  reportLine({ event: 'progress', text: message });
  console.error(message);
  process.exitCode = 1;
}
