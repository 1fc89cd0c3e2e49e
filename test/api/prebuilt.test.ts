import { createHash } from 'node:crypto';
import { appendFile, mkdir, mkdtemp, readFile, readdir, rm, truncate, writeFile } from 'node:fs/promises';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { text } from 'node:stream/consumers';
import { zstdCompressSync } from 'node:zlib';
import { projectDir } from '../../lab/paths.ts';
import { run } from '../../lab/process.ts';
import { packFolder } from '../../lab/tools/archive.ts';
import { formatPrebuiltList, listFile, type PrebuiltArchive } from '../../lab/tools/prebuilt-list.ts';
import { openBundleSource } from '../../lab/tools/prebuilt-source.ts';
import { openBundle } from '../../lab/tools/prebuilt.ts';
import type { SampleOutcome } from '../support/sample-tools.ts';

const key = '0123456789ab';

let scratch = '';
let bundle = '';
let archives: PrebuiltArchive[] = [];

beforeEach(async () => {
  scratch = await mkdtemp(path.join(tmpdir(), 'cni-prebuilt-'));
  bundle = path.join(scratch, 'bundle');
  archives = [];
  await mkdir(bundle);
  for (const name of ['first', 'second']) await addToBundle(name);
});

afterEach(() => rm(scratch, { recursive: true, force: true }));

async function addToBundle(name: string): Promise<void> {
  const content = path.join(scratch, `content-${name}`);
  await mkdir(content);
  await writeFile(path.join(content, 'how'), 'unpacked');
  const file = `${name}-${key}.tar.zst`;
  archives.push({ name, key, file, ...(await packFolder(content, path.join(bundle, file))) });
  await writeList(archives);
}

const writeList = (list: readonly PrebuiltArchive[]): Promise<void> =>
  writeFile(path.join(bundle, listFile), formatPrebuiltList(list));

const digestOfList = async (): Promise<string> =>
  createHash('sha256')
    .update(await readFile(path.join(bundle, listFile)))
    .digest('hex');

/** Creates the two tools in a process of its own. */
async function createTools(location: string, variables: Readonly<Record<string, string>> = {}): Promise<SampleOutcome> {
  const env = {
    ...process.env,
    CNI_LAB_CACHE: path.join(scratch, 'cache'),
    CNI_LAB_PREBUILT: location,
    CNI_LAB_PREBUILT_SHA256: await digestOfList(),
    ...variables,
  };
  const script = path.join(projectDir, 'test', 'support', 'sample-tools.ts');
  return JSON.parse(await run('node', [script, key, 'first', 'second'], { env })) as SampleOutcome;
}

/** Returns the reported lines except the start and the end of each tool. */
const findProblems = ({ lines }: SampleOutcome): string[] =>
  lines.filter((line) => !/^\s+\d+:\d\d {2}|^(building|unpacking) \d/.test(line));

/** Returns the reported lines about a tool that was started and given up, except its start and its end. */
const findReasons = ({ lines }: SampleOutcome, name: string): string[] =>
  lines.filter((line) => line.includes(name) && !/: (started|built in|unpacked in|NOT unpacked)/.test(line));

const leftovers = async (): Promise<string[]> =>
  (await readdir(path.join(scratch, 'cache', 'tools'))).filter((name) => !/^(first|second)-0123456789ab$/.test(name));

/** Serves the bundle from this machine. */
async function serve(
  answer?: (url: string) => number | undefined
): Promise<{ url: string; requestedUrls: string[]; server: Server }> {
  const requestedUrls: string[] = [];
  const server = createServer((request, response) => {
    const url = request.url ?? '';
    requestedUrls.push(url);
    const status = answer?.(url);
    if (status !== undefined) return void response.writeHead(status).end();
    readFile(path.join(bundle, path.basename(url))).then(
      (body) => response.end(body),
      () => response.writeHead(404).end()
    );
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/tools`,
    requestedUrls,
    server,
  };
}

const close = (server: Server): Promise<void> =>
  new Promise((resolve) => {
    server.close(() => resolve());
    server.closeAllConnections();
  });

const unpacked = { first: 'unpacked', second: 'unpacked' };
const built = { first: 'built', second: 'built' };

describe('a whole bundle', () => {
  it('is taken from a folder', async () => {
    const outcome = await createTools(bundle);

    expect(outcome.made).toEqual(unpacked);
    expect(findProblems(outcome)).toEqual([]);
    expect(await leftovers()).toEqual([]);
  });

  it('is taken from a server', async () => {
    const { url, requestedUrls, server } = await serve();

    const outcome = await createTools(url).finally(() => close(server));

    expect(outcome.made).toEqual(unpacked);
    expect(requestedUrls[0]).toBe(`/tools/${listFile}`);
  });

  it('is fetched once by two processes that start together', async () => {
    const { url, requestedUrls, server } = await serve();

    const outcomes = await Promise.all([createTools(url), createTools(url)]).finally(() => close(server));

    expect(outcomes.map(({ made }) => made)).toEqual([unpacked, unpacked]);
    expect(requestedUrls.filter((file) => file.endsWith('.tar.zst'))).toHaveLength(2);
    expect(await leftovers()).toEqual([]);
  });
});

describe('an archive that cannot be used', () => {
  const firstFile = (): string => path.join(bundle, archives[0]?.file ?? '');
  const onlySecondUnpacked = { first: 'built', second: 'unpacked' };

  it.each<[string, () => Promise<unknown>, RegExp]>([
    [
      'is corrupt',
      async () => {
        const bytes = await readFile(firstFile());
        bytes[bytes.length >> 1] = (bytes[bytes.length >> 1] ?? 0) ^ 1;
        await writeFile(firstFile(), bytes);
      },
      /has the SHA-256 [0-9a-f]{64}, the list says/,
    ],
    ['is truncated', () => truncate(firstFile(), 20), /ends after 20 bytes/],
    ['is longer than the list says', () => appendFile(firstFile(), 'more'), /has more than the \d+ bytes/],
    ['is missing', () => rm(firstFile()), /ENOENT/],
  ])('%s: logs one line, and builds the tool', async (_, spoil, reason) => {
    await spoil();

    const outcome = await createTools(bundle);

    expect(outcome.made).toEqual(onlySecondUnpacked);
    expect(findReasons(outcome, 'first')).toEqual([expect.stringMatching(reason)]);
    expect(await leftovers()).toEqual([]);
  });

  it('is missing on the server: logs one line, and builds the tool', async () => {
    const { url, server } = await serve((file) => (file.includes('first') ? 404 : undefined));

    const outcome = await createTools(url).finally(() => close(server));

    expect(outcome.made).toEqual(onlySecondUnpacked);
    expect(findReasons(outcome, 'first')).toEqual([expect.stringContaining('404')]);
  });

  it('has another key: logs one line with the name of the tool, and builds it', async () => {
    await writeList(
      archives.map((archive) => (archive.name === 'first' ? { ...archive, key: 'fedcba987654' } : archive))
    );

    const outcome = await createTools(bundle);

    expect(outcome.made).toEqual(onlySecondUnpacked);
    expect(findProblems(outcome)).toEqual([expect.stringMatching(/not in the bundle.*: first$/)]);
  });

  it('leads out of its folder: logs one line, and writes nothing there', async () => {
    const content = path.join(scratch, 'evil');
    await mkdir(content);
    await writeFile(path.join(content, 'outside'), 'evil');
    const tar = path.join(scratch, 'evil.tar');
    await run('tar', ['-C', content, '-P', '--transform=s,^,../../,', '-cf', tar, 'outside']);
    await rm(firstFile());
    await writeFile(firstFile(), zstdCompressSync(await readFile(tar)));
    const bytes = await readFile(firstFile());
    const sha256 = createHash('sha256').update(bytes).digest('hex');
    await writeList(
      archives.map((archive) => (archive.name === 'first' ? { ...archive, size: bytes.length, sha256 } : archive))
    );

    const outcome = await createTools(bundle);

    expect(outcome.made).toEqual(onlySecondUnpacked);
    expect(findReasons(outcome, 'first')).toEqual([expect.stringContaining('outside the folder')]);
    expect(await leftovers()).toEqual([]);
    expect(await readdir(path.join(scratch, 'cache'))).toEqual(['tools']);
  });
});

describe('a bundle that cannot be used', () => {
  const expectBuilt = (outcome: SampleOutcome, reason: RegExp): void => {
    expect(outcome.made).toEqual(built);
    expect(findProblems(outcome)).toEqual([expect.stringMatching(reason)]);
  };

  it('has no server: logs one line, and builds everything', async () => {
    const { url, server } = await serve();
    await close(server);

    expectBuilt(await createTools(url), /ECONNREFUSED; all are built$/);
  });

  it('has a server that fails', async () => {
    const { url, server } = await serve(() => 500);

    expectBuilt(await createTools(url).finally(() => close(server)), /answers 500/);
  });

  it('has a server that never answers', async () => {
    const server = createServer(() => undefined);
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const location = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;

    const opening = openBundle({ location, idleMs: 100 }).finally(() => close(server));

    await expect(opening).rejects.toThrow('no data for 0.1 s');
  });

  it('has a server that stops in the middle of an archive', async () => {
    const server = createServer((_, response) => response.write('x'));
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const location = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    // Only the archive: on a busy machine, the list would be late as well.
    const read = async () => text(await openBundleSource(location, 100).open('first.tar.zst'));

    const reading = read().finally(() => close(server));

    await expect(reading).rejects.toThrow('no data for 0.1 s');
  });

  it('does not exist', async () => {
    expectBuilt(await createTools(path.join(scratch, 'nowhere')), /ENOENT/);
  });

  it('has another list than the one that the user trusts', async () => {
    expectBuilt(await createTools(bundle, { CNI_LAB_PREBUILT_SHA256: 'f'.repeat(64) }), /not CNI_LAB_PREBUILT_SHA256/);
  });

  it('has a malformed list', async () => {
    const [archive] = archives;
    await writeFile(path.join(bundle, listFile), JSON.stringify({ archives: [{ ...archive, file: '../x.tar.zst' }] }));

    expectBuilt(await createTools(bundle), /malformed at archives\.0\.file/);
  });

  it('has no trusted digest', async () => {
    expectBuilt(await createTools(bundle, { CNI_LAB_PREBUILT_SHA256: '' }), /vouched for.*: first, second$/);
  });

  it('is on another machine, over http', async () => {
    expectBuilt(await createTools('http://tools.example/'), /no https address/);
  });
});
