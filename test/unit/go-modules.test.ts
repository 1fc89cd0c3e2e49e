import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { withLabFlannel } from '../../lab/cluster/canal-manifest.ts';
import { projectDir } from '../../lab/paths.ts';
import { goSets } from '../../lab/tools/go-sets.ts';
import { builtVersions, corednsImage, flannelImage } from '../../lab/tools/node-images.ts';

const toolFolder = (name: string): string => `lab/tools/go/${name}`;

/**
 * Modules whose versions may differ in each folder, because its code does not compile with the others' version. Small
 * modules, and those that nothing else needs, are not listed.
 */
const versionExceptions: Readonly<Record<string, RegExp>> = {
  [toolFolder('kubernetes')]: /^$/,
  [toolFolder('etcd')]: /^$/,
  [toolFolder('helm')]: /^$/,
  [toolFolder('coredns')]: /^$/,
  [toolFolder('containerd')]: /^$/,
  [toolFolder('flannel')]: /^$/,
  [toolFolder('kwok')]: /^$/,
  'images/coexistence': /^$/,
  'test/bench/scale/simulator': /^$/,
  [toolFolder('cilium')]: /^go\.uber\.org\/dig$/,
  // Calico's code, and its libraries of Kubernetes 1.29, do not compile with newer versions of these.
  [toolFolder('calico')]:
    /^(k8s\.io\/|sigs\.k8s\.io\/knftables$|github\.com\/(vishvananda\/netlink|containernetworking\/plugins|google\/gnostic-models)$)/,
  [toolFolder('temporal-server')]: /^go\.opentelemetry\.io\//,
  [toolFolder('temporal')]: /^(go\.opentelemetry\.io|go\.temporal\.io|github\.com\/(temporalio|nexus-rpc))\//,
};

/** Small modules that almost nothing imports. */
const smallModules = /^github\.com\/(cpuguy83|golang\/mock|mailru\/easyjson|mattn)(\/|$)/;

/** Returns the modules of a go.mod and the versions that apply. */
async function readVersions(folder: string): Promise<Map<string, string>> {
  const text = await readFile(path.join(projectDir, folder, 'go.mod'), 'utf8');
  const versions = new Map<string, string>();
  for (const [, name = '', version = ''] of text.matchAll(/^(?:require |\t)(\S+) (v\S+)(?: \/\/.*)?$/gm)) {
    versions.set(name, version);
  }
  for (const [, name = '', version = ''] of text.matchAll(/^(?:replace |\t)(\S+) => \1 (v\S+)$/gm))
    versions.set(name, version);
  return versions;
}

it('uses one version of modules that programs share, so that they are compiled once', async () => {
  const versionsByModule = new Map<string, Map<string, string[]>>();
  for (const [folder, exceptions] of Object.entries(versionExceptions)) {
    const versions = await readVersions(folder);
    expect(versions.size).toBeGreaterThan(10);
    for (const [name, version] of versions) {
      if (exceptions.test(name) || smallModules.test(name)) continue;
      const folders = versionsByModule.get(name) ?? new Map<string, string[]>();
      versionsByModule.set(name, folders.set(version, [...(folders.get(version) ?? []), folder]));
    }
  }
  const differing = [...versionsByModule].filter(([, versions]) => versions.size > 1);
  expect(Object.fromEntries(differing.map(([name, versions]) => [name, Object.fromEntries(versions)]))).toEqual({});
});

describe('versions in image names', () => {
  const modules: Readonly<Record<Exclude<keyof typeof builtVersions, 'calico'>, string>> = {
    cilium: 'github.com/cilium/cilium',
    coredns: 'github.com/coredns/coredns',
    flannel: 'github.com/flannel-io/flannel',
  };

  it.each(Object.entries(modules))('are those from which %s is built', async (name, module) => {
    const pinned = (await readVersions(toolFolder(name))).get(module);
    expect(`v${builtVersions[name as keyof typeof modules]}`).toBe(pinned);
  });

  it("are those of the lab's manifests", async () => {
    const manifest = await readFile(path.join(projectDir, 'lab/cluster/manifests/coredns.yaml'), 'utf8');
    expect(manifest).toContain(`image: ${corednsImage}\n`);
    expect(withLabFlannel('image: docker.io/flannel/flannel:v0.24.3\n')).toBe(`image: ${flannelImage}\n`);
    expect(() => withLabFlannel('image: other')).toThrow('names no image');
  });

  it('are those that Kubernetes reports', async () => {
    const pinned = (await readVersions(toolFolder('kubernetes'))).get('k8s.io/kubernetes') ?? '';
    const flags = goSets.find(({ name }) => name === 'kubernetes')?.ldflags;
    expect(flags).toContain(`gitVersion=${pinned} `);
    expect(flags).toContain(`gitMinor=${pinned.split('.')[1] ?? ''}`);
  });
});
