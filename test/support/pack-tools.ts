import { buildMissing } from '../../lab/tools/build.ts';
import { loadCatalogue } from '../../lab/tools/catalogue.ts';
import { packBundle } from '../../lab/tools/pack.ts';

// Builds missing tools, and packs them into the folder that the command line names before them. Prints the bundle's
// archives and the digest of their list as JSON. The environment says where the tools are.
const [out = '', ...names] = process.argv.slice(2);
const { artefacts } = await loadCatalogue();
const chosen = artefacts.filter(({ name }) => names.includes(name));
if (chosen.length !== names.length) throw new Error(`not all of these are tools of the lab: ${names.join(', ')}`);
const log = (line: string): void => console.error(line);
await buildMissing(chosen, log);
console.log(JSON.stringify(await packBundle(chosen, out, log)));
