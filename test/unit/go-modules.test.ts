import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { projectDir } from '../../lab/paths.ts';

const ofTools = (name: string): string => `lab/tools/go/${name}`;

/**
 * What each leaves to itself, because its code does not compile with the others' version. Calico and what is small are
 * not here: they have modules of their own altogether.
 */
const apart: Readonly<Record<string, RegExp>> = {
  [ofTools('kubernetes')]: /^$/,
  [ofTools('etcd')]: /^$/,
  [ofTools('helm')]: /^$/,
  [ofTools('coredns')]: /^$/,
  [ofTools('containerd')]: /^$/,
  [ofTools('flannel')]: /^$/,
  'images/coexistence': /^$/,
  'test/bench/scale/simulator': /^$/,
  [ofTools('cilium')]: /^(k8s\.io|sigs\.k8s\.io|go\.uber\.org\/dig)(\/|$)/,
  [ofTools('temporal-server')]: /^go\.opentelemetry\.io\//,
  [ofTools('temporal')]: /^(go\.opentelemetry\.io|go\.temporal\.io|github\.com\/(temporalio|nexus-rpc))\//,
};

/** Small, and imported by next to nothing. */
const leaves = /^github\.com\/(cpuguy83|golang\/mock|mailru\/easyjson|mattn)(\/|$)/;

/** Modules of a go.mod and the versions that count. */
async function versionsOf(folder: string): Promise<Map<string, string>> {
  const text = await readFile(path.join(projectDir, folder, 'go.mod'), 'utf8');
  const found = new Map<string, string>();
  for (const [, name = '', version = ''] of text.matchAll(/^(?:require |\t)(\S+) (v\S+)(?: \/\/.*)?$/gm)) {
    found.set(name, version);
  }
  for (const [, name = '', version = ''] of text.matchAll(/^(?:replace |\t)(\S+) => \1 (v\S+)$/gm))
    found.set(name, version);
  return found;
}

it('takes modules that programs share at one version, so that they are compiled once', async () => {
  const seen = new Map<string, Map<string, string[]>>();
  for (const [folder, own] of Object.entries(apart)) {
    const versions = await versionsOf(folder);
    expect(versions.size).toBeGreaterThan(10);
    for (const [name, version] of versions) {
      if (own.test(name) || leaves.test(name)) continue;
      const of = seen.get(name) ?? new Map<string, string[]>();
      seen.set(name, of.set(version, [...(of.get(version) ?? []), folder]));
    }
  }
  const differing = [...seen].filter(([, versions]) => versions.size > 1);
  expect(Object.fromEntries(differing.map(([name, versions]) => [name, Object.fromEntries(versions)]))).toEqual({});
});
