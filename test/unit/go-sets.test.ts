import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { projectDir } from '../../lab/paths.ts';
import { sourceFiles } from '../../lab/tools/go-artefact.ts';
import { goSets, listPrograms, type GoSet } from '../../lab/tools/go-sets.ts';

function findSet(name: string): GoSet {
  const goSet = goSets.find((set) => set.name === name);
  if (goSet === undefined) throw new Error(`no set is called ${name}`);
  return goSet;
}

const readText = (...parts: string[]): Promise<string> => readFile(path.join(projectDir, ...parts), 'utf8');
const readMain = (set: string): Promise<string> => readText('lab/tools/go', set, 'main.go');

it('rebuilds a set when a package or an added file of its own changes', async () => {
  expect(await sourceFiles(findSet('calico'))).toEqual(
    expect.arrayContaining(['go.mod', 'go.sum', 'stub-ec2/ec2.go', 'stub-ec2/go.mod', 'stub-ec2/types/types.go'])
  );
  expect(await sourceFiles(findSet('flannel'))).toContain('added/pkg/backend/udp/proxy_without_cgo_amd64.go');
});

it('has each program in one set only', () => {
  const programs = goSets.flatMap(listPrograms);
  expect(programs).toEqual([...new Set(programs)]);
  expect(programs).toEqual(expect.arrayContaining(['kube-apiserver', 'kubelet', 'ctr', 'cilium-dbg']));
});

it('links the daemons of Kubernetes by the names that their binary accepts', async () => {
  const known = [...(await readMain('kubernetes')).matchAll(/^\t"(kube[\w-]+)": /gm)].map(([, name]) => name);
  expect(known.sort()).toEqual([...(findSet('kubernetes').binaries[0]?.links ?? [])].sort());
});

it('builds CoreDNS with the plugins of the Corefile', async () => {
  const [, corefile = ''] =
    /^ {4}\.:53 \{\n(.*?)^ {4}\}/ms.exec(await readText('lab/cluster/manifests/coredns.yaml')) ?? [];
  const used = [...corefile.matchAll(/^ {8}(\w+)/gm)].map(([, name = '']) => name).sort();
  const main = await readMain('coredns');
  const built = [...main.matchAll(/coredns\/plugin\/(\w+)"/g)].map(([, name = '']) => name).sort();
  const [, directives = ''] = /Directives = \[\]string\{(.*)\}/.exec(main) ?? [];
  const ordered = [...directives.matchAll(/"(\w+)"/g)].map(([, name = '']) => name).sort();
  expect(used).toHaveLength(5);
  expect(built).toEqual(used);
  expect(ordered).toEqual(used);
});
