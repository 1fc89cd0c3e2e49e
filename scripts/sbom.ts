/**
 * Writes the software bills of materials of what the images contain, in CycloneDX's JSON format: the npm packages of the
 * worker, and the Go modules of each Go program.
 *
 *   npm run sbom -- FOLDER
 */
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { imageTarget, moduleDir, projectDir, runCommand, shippedModules } from './go-modules.ts';

const generator = 'github.com/CycloneDX/cyclonedx-gomod/cmd/cyclonedx-gomod@v1.10.0';

/** The part of npm's output that is changed here. */
interface NpmSbom {
  metadata: { component: { name: string } };
  components: { 'bom-ref': string; properties?: { name: string; value: string }[] }[];
  dependencies: { ref: string; dependsOn?: string[] }[];
}

/**
 * Writes `worker.cdx.json`, from the lock file. Packages for development are removed here: with `--omit dev`, npm also leaves
 * out packages of the worker that such a package needs, too (npm 11).
 */
async function writeNpmSbom(folder: string): Promise<string> {
  const args = ['sbom', '--sbom-format', 'cyclonedx', '--sbom-type', 'application', '--package-lock-only'];
  const { code, stdout, stderr } = await runCommand('npm', args, { cwd: projectDir });
  if (code !== 0) throw new Error(`npm sbom failed: ${stderr.trim()}`);
  const file = path.join(folder, 'worker.cdx.json');
  const sbom = JSON.parse(stdout) as NpmSbom;
  // npm gives the project the name of its folder on this machine.
  sbom.metadata.component.name = 'cni-live-migration';
  const isForDevelopment = ({ properties = [] }: NpmSbom['components'][number]): boolean =>
    properties.some(({ name, value }) => name === 'cdx:npm:package:development' && value === 'true');
  const removed = new Set(sbom.components.filter(isForDevelopment).map((component) => component['bom-ref']));
  sbom.components = sbom.components.filter((component) => !removed.has(component['bom-ref']));
  sbom.dependencies = sbom.dependencies
    .filter(({ ref }) => !removed.has(ref))
    .map(({ ref, dependsOn = [] }) => ({ ref, dependsOn: dependsOn.filter((one) => !removed.has(one)) }));
  await writeFile(file, `${JSON.stringify(sbom, null, 2)}\n`);
  return file;
}

/**
 * Builds the program as its image does, and writes `<module>.cdx.json` from the modules that the binary contains. Reading
 * the sources instead would require that the generator understands the Git repository around them.
 */
async function writeGoSbom(folder: string, name: (typeof shippedModules)[number]): Promise<string> {
  const file = path.join(folder, `${name}.cdx.json`);
  const env = { ...process.env, ...imageTarget };
  const temporary = await mkdtemp(path.join(tmpdir(), 'cni-sbom-'));
  try {
    const binary = path.join(temporary, name);
    const build = ['build', '-trimpath', '-buildvcs=false', '-o', binary, '.'];
    const inspect = ['run', generator, 'bin', '-json', '-std', '-version', 'v0.1.0', '-output', file, binary];
    for (const [args, cwd] of [[build, moduleDir(name)] as const, [inspect, projectDir] as const]) {
      const { code, stderr } = await runCommand('go', args, { cwd, env });
      if (code !== 0) throw new Error(`go ${args[0] ?? ''} failed for images/${name}: ${stderr.trim()}`);
    }
  } finally {
    await rm(temporary, { recursive: true });
  }
  return file;
}

/** @throws Error when the file is not a bill of materials in CycloneDX's format with at least one component. */
async function verify(file: string): Promise<number> {
  const { bomFormat, components = [] } = JSON.parse(await readFile(file, 'utf8')) as {
    bomFormat?: string;
    components?: unknown[];
  };
  if (bomFormat !== 'CycloneDX' || components.length === 0) throw new Error(`${file} is not a CycloneDX file`);
  return components.length;
}

const [argument] = process.argv.slice(2);
if (argument === undefined) {
  console.error('usage: npm run sbom -- FOLDER');
  process.exitCode = 2;
} else {
  const folder = path.resolve(argument);
  try {
    await mkdir(folder, { recursive: true });
    const files = [await writeNpmSbom(folder)];
    for (const name of shippedModules) files.push(await writeGoSbom(folder, name));
    for (const file of files) console.log(`${file}: ${await verify(file)} components`);
  } catch (error) {
    console.error(error instanceof Error ? error.message : String(error));
    process.exitCode = 1;
  }
}
