import { readFile, readdir } from 'node:fs/promises';
import path from 'node:path';
import { projectDir } from '../../lab/paths.ts';
import { dialectExceptions, dialectWords, type DialectException } from './dialect-words.ts';

/** Files and folders whose texts are checked. */
export const dialectRoots: readonly string[] = [
  ...['README.md', 'CHANGELOG.md', 'CONTRIBUTING.md', 'docker-compose.yml', 'Dockerfile', 'cni-migrate'],
  ...['.dependency-cruiser.mjs', 'eslint.config.mjs', 'jest.config.mjs', '.ci'],
  ...['model', 'temporal', 'activities', 'workflows', 'client', 'worker'],
  ...['docs', 'deploy', 'images', 'lab', 'scripts', 'test'],
];

/** Paths that are not checked, each with its reason. */
export const uncheckedPaths: Readonly<Record<string, string>> = {
  'test/support/dialect-words.ts': 'lists the words',
  'test/unit/dialect.test.ts': 'contains the words as examples',
  'lab/tools/go/': 'tools are built again when the digest of these files changes',
};

const checkedFile = /(\.(ts|mjs|go|sh|yaml|yml|md)|(^|\/)(Dockerfile|run|cni-migrate))$/;

/** A use of an avoided word. */
export interface DialectHit {
  file: string;
  /** 1-based. */
  line: number;
  /** The words in the file, with some text around them. */
  excerpt: string;
  use: string;
  exception: DialectException | undefined;
}

/** Describes a hit for a failure: where it is, what is avoided, and what to write instead. */
export function describeHit({ file, line, excerpt, use }: DialectHit): string {
  return `${file}:${line}: "${excerpt}"; use: ${use}`;
}

/** Returns the paths of all checked files below the roots. */
export async function listCheckedFiles(roots: readonly string[] = dialectRoots): Promise<string[]> {
  const lists = await Promise.all(roots.map(listFiles));
  const unchecked = Object.keys(uncheckedPaths);
  return lists.flat().filter((file) => checkedFile.test(file) && !unchecked.some((prefix) => file.startsWith(prefix)));
}

async function listFiles(root: string): Promise<string[]> {
  const entries = await readdir(path.join(projectDir, root), { recursive: true, withFileTypes: true }).catch(
    (error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOTDIR') return undefined;
      throw error;
    }
  );
  if (entries === undefined) return [root];
  const files = entries.filter((entry) => entry.isFile() && !entry.parentPath.includes('node_modules'));
  return files.map((entry) => path.relative(projectDir, path.join(entry.parentPath, entry.name)));
}

/** Finds avoided words in a file of the project. */
export async function findDialectInFile(file: string): Promise<DialectHit[]> {
  return findDialect(file, await readFile(path.join(projectDir, file), 'utf8'));
}

/** Finds avoided words in a text, also those that a line break of a comment or a paragraph divides. */
export function findDialect(file: string, text: string): DialectHit[] {
  const { words, lineStarts } = normalize(file === 'CONTRIBUTING.md' ? withoutAvoidColumn(text) : text);
  return dialectWords.flatMap(({ pattern, use }) =>
    [...words.matchAll(new RegExp(`(?<![\\w-])(?:${pattern})(?![\\w-])`, 'gi'))].map((match) => {
      const { index } = match;
      const excerpt = words.slice(Math.max(0, index - 30), index + match[0].length + 30).replaceAll('\n', ' ');
      const isException = (candidate: DialectException): boolean =>
        file === candidate.file && excerpt.toLowerCase().includes(candidate.text);
      return {
        file,
        line: lineStarts.findLastIndex((start) => start <= index) + 1,
        excerpt: excerpt.trim(),
        use,
        exception: dialectExceptions.find(isException),
      };
    })
  );
}

/**
 * Joins the lines of a text without the marks of comments, and separates the words of identifiers. Paragraphs stay
 * separated by a line end.
 */
function normalize(text: string): { words: string; lineStarts: readonly number[] } {
  let words = '';
  const lineStarts = text.split('\n').map((line) => {
    const start = words.length;
    const content = line.replace(/^[\s/*#>]+/, '').replaceAll(/([a-z0-9])(?=[A-Z])|_/g, '$1 ');
    words += content === '' ? '\n' : `${content.trimEnd()} `;
    return start;
  });
  return { words, lineStarts };
}

/** Removes the column of CONTRIBUTING.md that shows what to avoid. */
function withoutAvoidColumn(text: string): string {
  return text.replace(/^\| avoid [\s\S]*?\n\n/m, (table) => table.replaceAll(/^\|[^|]*\|/gm, '|'));
}
