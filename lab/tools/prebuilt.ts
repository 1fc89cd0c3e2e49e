import { createHash } from 'node:crypto';
import { createWriteStream } from 'node:fs';
import { rm } from 'node:fs/promises';
import { pipeline } from 'node:stream/promises';
import { unpackArchive } from './archive.ts';
import { listFile, parsePrebuiltList, readCommittedList, type PrebuiltArchive } from './prebuilt-list.ts';
import { openBundleSource, describeReason, type BundleSource } from './prebuilt-source.ts';

/** Location of a bundle, and the digest that makes it trusted. */
export interface BundleLocation {
  /** A folder, or an https URL of one. */
  location: string;
  /**
   * SHA-256 of the bundle's list, in hexadecimal.
   * @default the project's own list determines the trusted archives
   */
  listSha256?: string;
  /**
   * Time without data after which a server is given up, in ms.
   * @default 30 s
   */
  idleMs?: number;
}

/** Tools that can be taken from a bundle instead of being built. */
export interface Bundle {
  /** Trusted archives. */
  archives: readonly PrebuiltArchive[];
  /** Other archives, which are not used. */
  untrusted: readonly PrebuiltArchive[];
  /**
   * Fills an empty folder with an artefact from the bundle.
   * @throws Error with the reason in one line; the folder may then have any content.
   */
  unpack: (archive: PrebuiltArchive, dir: string) => Promise<void>;
}

/** Reads the settings from the environment; undefined when none is set. */
export function bundleLocation(env: NodeJS.ProcessEnv = process.env): BundleLocation | undefined {
  const location = env['CNI_LAB_PREBUILT'];
  const listSha256 = env['CNI_LAB_PREBUILT_SHA256'];
  if (location === undefined || location === '') return undefined;
  return { location, ...(listSha256 !== undefined && listSha256 !== '' && { listSha256 }) };
}

/**
 * Opens a bundle and determines its trusted archives: those whose digests are in the project's own list, or all, when
 * the user trusts the bundle's list by its digest. Files next to the archives prove nothing: an attacker who changes an
 * archive can change those files as well.
 * @throws Error with the reason in one line when the bundle cannot be used.
 */
export async function openBundle({ location, listSha256, idleMs }: BundleLocation): Promise<Bundle> {
  const source = openBundleSource(location, idleMs);
  const text = await source.readText(listFile).catch((error: unknown) => {
    throw new Error(`${source.name}: ${describeReason(error)}`, { cause: error });
  });
  if (listSha256 !== undefined) {
    const actualSha256 = createHash('sha256').update(text).digest('hex');
    if (actualSha256 !== listSha256.toLowerCase()) {
      throw new Error(`${source.name}: the SHA-256 of ${listFile} is ${actualSha256}, not CNI_LAB_PREBUILT_SHA256`);
    }
  }
  const listed = parsePrebuiltList(text);
  const committed = new Set(listSha256 === undefined ? (await readCommittedList()).map(archiveIdentity) : []);
  const isTrusted = (archive: PrebuiltArchive): boolean =>
    listSha256 !== undefined || committed.has(archiveIdentity(archive));
  return {
    archives: listed.filter(isTrusted),
    untrusted: listed.filter((archive) => !isTrusted(archive)),
    unpack: (archive, dir) => unpack(source, archive, dir),
  };
}

function archiveIdentity({ name, key, sha256 }: PrebuiltArchive): string {
  return `${name} ${key} ${sha256}`;
}

/**
 * Unpacks a copy of the archive: the unpacked content is then exactly the content that was compared, even if the bundle
 * changes meanwhile.
 */
async function unpack(source: BundleSource, archive: PrebuiltArchive, dir: string): Promise<void> {
  const copy = `${dir}.download`;
  try {
    await copyVerified(source, archive, copy);
    await unpackArchive(copy, dir);
  } catch (error) {
    throw new Error(describeReason(error), { cause: error });
  } finally {
    await rm(copy, { force: true });
  }
}

/**
 * Copies an archive from the bundle.
 * @throws Error when the archive has another size or digest than its list says.
 */
async function copyVerified(source: BundleSource, archive: PrebuiltArchive, copy: string): Promise<void> {
  const { file, size, sha256 } = archive;
  const hash = createHash('sha256');
  let received = 0;
  const measured = async function* (chunks: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
    for await (const chunk of chunks) {
      received += chunk.length;
      if (received > size) throw new Error(`${file} has more than the ${size} bytes of the list`);
      hash.update(chunk);
      yield chunk;
    }
  };
  await pipeline(await source.open(file), measured, createWriteStream(copy));
  if (received !== size) throw new Error(`${file} ends after ${received} bytes, the list says ${size}`);
  const actualSha256 = hash.digest('hex');
  if (actualSha256 !== sha256) throw new Error(`${file} has the SHA-256 ${actualSha256}, the list says ${sha256}`);
}
