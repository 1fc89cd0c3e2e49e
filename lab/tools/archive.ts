import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { createReadStream, createWriteStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import type { Writable } from 'node:stream';
import { text } from 'node:stream/consumers';
import { pipeline } from 'node:stream/promises';
import { constants, createZstdCompress, createZstdDecompress } from 'node:zlib';
import { checkEntries } from './archive-entries.ts';

/**
 * Options that give the same archive for the same content: sorted, without times and without data that differs from run
 * to run. Only extended attributes that matter on another machine are included: capabilities of programs, and how a
 * layer covers those below.
 */
const packOptions = [
  ...['--sort=name', '--mtime=@0', '--numeric-owner', '--format=posix'],
  '--pax-option=exthdr.name=%d/PaxHeaders/%f,delete=atime,delete=ctime,delete=mtime',
  ...['--xattrs', '--xattrs-include=security.capability', '--xattrs-include=trusted.overlay.opaque'],
];

const unpackOptions = ['--numeric-owner', '--same-owner', '--preserve-permissions', '--xattrs', '--xattrs-include=*'];

/**
 * Programs of one project repeat each other over long distances. 128 MiB is the largest window that decoders accept by
 * default.
 */
const compression = {
  params: {
    [constants.ZSTD_c_compressionLevel]: 9,
    [constants.ZSTD_c_enableLongDistanceMatching]: 1,
    [constants.ZSTD_c_windowLog]: 27,
    [constants.ZSTD_c_checksumFlag]: 1,
  },
};

const pieceBytes = 1024 * 1024;

/** Size in bytes and SHA-256 (hexadecimal) of a file. */
export interface FileDigest {
  size: number;
  sha256: string;
}

/**
 * Packs the content of a folder into a `.tar.zst` file; the same content gives the same bytes.
 * @throws Error when tar fails, or the file cannot be written.
 */
export async function packFolder(dir: string, file: string): Promise<FileDigest> {
  const tar = spawn('tar', ['-C', dir, ...packOptions, '-cf', '-', '.'], { stdio: ['ignore', 'pipe', 'pipe'] });
  const errors = text(tar.stderr);
  const ended = once(tar, 'close') as Promise<[number | null]>;
  const compressor = createZstdCompress(compression);
  const written = pipeline(compressor, createWriteStream(file));
  await Promise.all([writeInPieces(tar.stdout, compressor), written]);
  const [code] = await ended;
  if (code !== 0) throw new Error(`tar cannot pack ${dir}: ${(await errors).trim()}`);
  return { size: (await stat(file)).size, sha256: await computeSha256(file) };
}

/**
 * Unpacks a `.tar.zst` file into an empty folder, with owners, permissions, hard links and devices. Checks all entries
 * first, so that an unsafe archive leaves nothing behind.
 * @throws Error for an entry that would be outside the folder, or whose kind no tool has, or a broken archive.
 */
export async function unpackArchive(file: string, dir: string): Promise<void> {
  checkEntries(await runTar(file, ['--list', '--verbose', '--numeric-owner', '--full-time', '--quoting-style=c']));
  await runTar(file, ['--extract', '-C', dir, ...unpackOptions]);
}

/** Returns the SHA-256 of a file, in hexadecimal. */
export async function computeSha256(file: string): Promise<string> {
  const hash = createHash('sha256');
  await pipeline(createReadStream(file), hash);
  return hash.digest('hex');
}

/**
 * Passes a stream on in pieces of one size, each after the compression of the previous one, and ends only then. A
 * compressor's bytes depend on the pieces that it gets, and those of a pipe depend on the load of the machine.
 */
async function writeInPieces(from: AsyncIterable<Buffer>, to: Writable): Promise<void> {
  const write = (piece: Buffer): Promise<void> =>
    new Promise((resolve, reject) => to.write(piece, (error) => (error ? reject(error) : resolve())));
  let held: Buffer[] = [];
  let heldBytes = 0;
  for await (const chunk of from) {
    held.push(chunk);
    heldBytes += chunk.length;
    if (heldBytes < pieceBytes) continue;
    let rest = Buffer.concat(held);
    for (; rest.length >= pieceBytes; rest = rest.subarray(pieceBytes)) await write(rest.subarray(0, pieceBytes));
    held = [rest];
    heldBytes = rest.length;
  }
  if (heldBytes > 0) await write(Buffer.concat(held));
  to.end();
}

/** Runs tar on the decompressed file and returns its standard output. */
async function runTar(file: string, args: readonly string[]): Promise<string> {
  const env = { ...process.env, LC_ALL: 'C', TZ: 'UTC' };
  const tar = spawn('tar', [...args, '--file=-'], { env, stdio: ['pipe', 'pipe', 'pipe'] });
  const [fed, output, errors, ended] = await Promise.allSettled([
    pipeline(createReadStream(file), createZstdDecompress(), tar.stdin),
    text(tar.stdout),
    text(tar.stderr),
    once(tar, 'close') as Promise<[number | null]>,
  ]);
  const errorText = errors.status === 'fulfilled' ? errors.value.trim() : '';
  if (ended.status === 'rejected') throw ended.reason;
  const [code] = ended.value;
  // The decoder's message explains more than the end of data that tar then reports. A pipe that tar closed explains
  // nothing.
  if (fed.status === 'rejected' && !isClosedPipe(fed.reason)) {
    throw new Error(`it cannot be decompressed: ${(fed.reason as Error).message}`);
  }
  if (code !== 0) throw new Error(`tar cannot read it: ${errorText.split('\n')[0] ?? ''} (code ${code ?? 'none'})`);
  if (output.status === 'rejected') throw output.reason;
  return output.value;
}

function isClosedPipe(error: unknown): boolean {
  return ['EPIPE', 'ERR_STREAM_PREMATURE_CLOSE'].includes((error as NodeJS.ErrnoException).code ?? '');
}
