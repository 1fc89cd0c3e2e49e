import { mkdir, readFile, readdir, rename, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { labsDir } from '../paths.ts';
import { identifyProcess, run } from '../process.ts';
import { acquireFileLock } from '../tools/artefact.ts';
import { labDir, type LabRecord, type PacketFilter } from './layout.ts';

/** File of a lab that identifies the lab and its owner. */
export const recordFile = 'lab.json';

/** Returns the records of all labs of this user on this machine. */
export async function listLabs(): Promise<LabRecord[]> {
  const names = await readdir(labsDir).catch(() => [] as string[]);
  const records = await Promise.all(names.map(readRecord));
  return records.filter((record) => record !== undefined);
}

/** Reads the record of a lab; undefined when no lab has that name. */
export async function readRecord(name: string): Promise<LabRecord | undefined> {
  const text = await readFile(path.join(labDir(name), recordFile), 'utf8').catch(() => undefined);
  return text === undefined ? undefined : (JSON.parse(text) as LabRecord);
}

/** Writes a record atomically: other processes read the records of all labs and must not find an incomplete one. */
export async function writeRecord(record: LabRecord): Promise<void> {
  const file = path.join(labDir(record.name), recordFile);
  const partial = `${file}.${process.pid}`;
  await writeFile(partial, JSON.stringify(record));
  await rename(partial, file);
}

/** Properties of a lab that its creator chooses. */
export interface RecordOptions {
  nodes: number;
  ephemeral: boolean;
  /** @default that of the existing lab */
  packetFilter?: PacketFilter | undefined;
}

/**
 * Creates the record of a lab, with a number that no other lab on this machine has, or updates the existing record.
 * @throws {Error} when the lab exists with another packet filter.
 */
export async function claimRecord(name: string, options: RecordOptions): Promise<LabRecord> {
  const { nodes, ephemeral } = options;
  await mkdir(labsDir, { recursive: true });
  const release = await acquireFileLock(path.join(labsDir, '.lock'), () => undefined);
  try {
    const existing = await readRecord(name);
    const packetFilter = choosePacketFilter(existing, options.packetFilter);
    const owner = ephemeral ? await identifyProcess(process.pid) : undefined;
    const index = existing?.index ?? (await freeIndex());
    const record: LabRecord = { name, index, nodes, packetFilter, ...(owner && { owner }) };
    await mkdir(labDir(name), { recursive: true, mode: 0o700 });
    await writeRecord(record);
    return record;
  } finally {
    await release();
  }
}

/**
 * Returns the packet filter of a lab that may exist already.
 * @throws {Error} when it exists with another one than the chosen one.
 */
export function choosePacketFilter(existing: LabRecord | undefined, chosen: PacketFilter | undefined): PacketFilter {
  if (existing === undefined) return chosen ?? 'iptables';
  const { name, packetFilter = 'iptables' } = existing;
  if (chosen === undefined || chosen === packetFilter) return packetFilter;
  throw new Error(`lab ${name} uses ${packetFilter}: remove it first, or choose another name for one with ${chosen}`);
}

async function freeIndex(): Promise<number> {
  const taken = new Set((await listLabs()).map((record) => record.index));
  // Labs of other users, and anything else that uses the address range, appear in the host's own routes and links.
  const host = `${await run('ip', ['-4', 'route', 'show', 'table', 'all'])}\n${await run('ip', ['-br', 'link'])}`;
  for (let index = 1; index < 255; index++) {
    if (!taken.has(index) && !host.includes(`10.99.${index}.`) && !host.includes(`cni-lab${index}@`)) return index;
  }
  throw new Error('no free network 10.99.N.0/24 is left for a lab');
}
