import { readFile, writeFile } from 'node:fs/promises';
import { flannelImage } from '../tools/node-images.ts';
import type { PacketFilter } from './layout.ts';

const flannelReference = /docker\.io\/flannel\/flannel:\S+/g;

/**
 * Returns Calico's manifest of Canal with the Flannel that the lab has. The manifest names an older version, which is
 * not available as a Go module; both versions take the settings that the manifest contains.
 * @throws {Error} when the manifest names no image of Flannel.
 */
export function withLabFlannel(manifest: string): string {
  const changed = manifest.replaceAll(flannelReference, flannelImage);
  if (!changed.includes(flannelImage)) throw new Error(`Canal's manifest names no image ${flannelReference.source}`);
  return changed;
}

/** Start of Flannel's configuration in the manifest. */
const netConf = /^( +)net-conf\.json: \|\n( +)\{\n/m;

/**
 * Returns a manifest of Canal whose Flannel programs packets with this back end. Calico has no setting for nftables in
 * the lab's version.
 * @throws {Error} when the manifest has no configuration of Flannel.
 */
export function withPacketFilter(manifest: string, packetFilter: PacketFilter): string {
  if (packetFilter === 'iptables') return manifest;
  if (!netConf.test(manifest)) throw new Error("Canal's manifest has no net-conf.json");
  return manifest.replace(netConf, (start, _, indent: string) => `${start}${indent}  "EnableNFTables": true,\n`);
}

/** Writes Calico's manifest for the lab to another file: see {@link withLabFlannel} and {@link withPacketFilter}. */
export async function writeCanalManifest(from: string, to: string, packetFilter: PacketFilter): Promise<void> {
  await writeFile(to, withPacketFilter(withLabFlannel(await readFile(from, 'utf8')), packetFilter));
}
