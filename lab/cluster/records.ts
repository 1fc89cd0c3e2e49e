import { mkdir, readFile, readdir, rename, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { labsDir } from '../paths.ts';
import { identifyProcess, run } from '../process.ts';
import { acquireFileLock } from '../tools/artefact.ts';
import { labDir, type LabRecord } from './layout.ts';

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

/** Creates the record of a lab, with a number that no other lab on this machine has, or updates the existing record. */
export async function claimRecord(name: string, nodes: number, ephemeral: boolean): Promise<LabRecord> {
  await mkdir(labsDir, { recursive: true });
  const release = await acquireFileLock(path.join(labsDir, '.lock'), () => undefined);
  try {
    const existing = await readRecord(name);
    const owner = ephemeral ? await identifyProcess(process.pid) : undefined;
    const index = existing?.index ?? (await freeIndex());
    const record: LabRecord = { name, index, nodes, ...(owner && { owner }) };
    await mkdir(labDir(name), { recursive: true, mode: 0o700 });
    await writeRecord(record);
    return record;
  } finally {
    await release();
  }
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
