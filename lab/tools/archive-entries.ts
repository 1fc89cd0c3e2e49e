/** One entry of an archive. */
interface Entry {
  kind: string;
  name: string;
  /** Target of a symbolic or hard link. */
  target: string | undefined;
}

/** Kinds of entries: file, folder, symbolic link, hard link, character device. */
const kinds = new Set(['-', 'd', 'l', 'h', 'c']);

/** Devices in `dev/` of a minimal Debian. */
const devices = new Set(['console', 'full', 'null', 'ptmx', 'random', 'tty', 'urandom', 'zero']);

/**
 * Checks a listing that `tar --list --verbose --numeric-owner --full-time --quoting-style=c` prints. Symbolic links may
 * point anywhere, because a root file system has absolute ones; nothing may be written through them.
 * @throws Error for the first entry that would be outside the folder, or whose kind no tool has.
 */
export function checkEntries(listing: string): void {
  const links = new Set<string>();
  const files = new Set<string>();
  const entries = listing
    .split('\n')
    .filter((line) => line !== '')
    .map(parseEntry);
  for (const { kind, name } of entries) if (kind === 'l') links.add(normalizePath(name));
  for (const { kind, name, target } of entries) {
    const refuse = (reason: string): never => {
      throw new Error(`the archive's entry ${JSON.stringify(name)} ${reason}`);
    };
    if (!kinds.has(kind)) refuse(`is of a kind that no tool has (${kind})`);
    if (escapes(name)) refuse('would lie outside the folder');
    if (hasParentIn(normalizePath(name), links)) refuse('would be written through a symbolic link');
    if (kind === 'c' && !isUsualDevice(normalizePath(name))) refuse('is a device that no tool has');
    // A hard link gives its target another name, hence the target has to come from this archive.
    if (kind === 'h' && (target === undefined || escapes(target) || !files.has(normalizePath(target)))) {
      refuse(`is a hard link to ${JSON.stringify(target ?? '')}, which is no earlier file of the archive`);
    }
    if (kind === '-' || kind === 'h') files.add(normalizePath(name));
    // A name may not belong to a file first and to a link later, or the reverse.
    if (kind !== 'l' && links.has(normalizePath(name))) refuse('is there twice, once as a symbolic link');
  }
}

/**
 * Parses a line: `-rwxr-xr-x 0/0 12 1970-01-01 00:00:00 "./name"`, for links with ` -> "target"` or
 * ` link to "target"`.
 */
function parseEntry(line: string): Entry {
  const match = /^(\S)\S+ +\S+ +\S+ \S+ \S+ ("(?:[^"\\]|\\.)*")(?: (?:->|link to) ("(?:[^"\\]|\\.)*"))?$/.exec(line);
  const [, kind, name, target] = match ?? [];
  if (kind === undefined || name === undefined) throw new Error(`the archive has an entry of an unknown form: ${line}`);
  return { kind, name: unquote(name), target: target === undefined ? undefined : unquote(target) };
}

/** Unescapes quotes and backslashes; other escapes stay, because no check depends on them. */
function unquote(text: string): string {
  return text.slice(1, -1).replaceAll(/\\(["\\])/g, '$1');
}

function escapes(name: string): boolean {
  return name.startsWith('/') || name.split('/').includes('..');
}

function normalizePath(name: string): string {
  return name
    .split('/')
    .filter((part) => part !== '' && part !== '.')
    .join('/');
}

function hasParentIn(name: string, links: ReadonlySet<string>): boolean {
  const parts = name.split('/');
  return parts.some((_, index) => index > 0 && links.has(parts.slice(0, index).join('/')));
}

function isUsualDevice(name: string): boolean {
  const [device = '', folder] = name.split('/').reverse();
  return folder === 'dev' && devices.has(device);
}
