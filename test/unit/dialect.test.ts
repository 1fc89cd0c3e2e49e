import { dialectExceptions } from '../support/dialect-words.ts';
import { describeHit, findDialect, findDialectInFile, listCheckedFiles, type DialectHit } from '../support/dialect.ts';

describe('the texts of this project', () => {
  let hits: DialectHit[] = [];
  beforeAll(async () => {
    const files = await listCheckedFiles();
    hits = (await Promise.all(files.map(findDialectInFile))).flat();
  });

  it('are in plain technical English', () => {
    expect(hits.filter(({ exception }) => exception === undefined).map(describeHit)).toEqual([]);
  });

  it('need every exception of the list', () => {
    const needed = new Set(hits.map(({ exception }) => exception));

    expect(dialectExceptions.filter((exception) => !needed.has(exception))).toEqual([]);
  });
});

describe('an avoided word', () => {
  it.each([
    ['in a page', 'docs/a.md', 'The node is\nmade anew.', 2],
    ['in a comment', 'lab/a.ts', '/**\n * What becomes\n * of it.\n */', 2],
    ['in a Go comment', 'images/a.go', '// The agent goes\n// on.', 1],
    ['in a shell comment', 'scripts/a.sh', 'true\n# Looks at the node.', 2],
    ['in an identifier', 'lab/a.ts', 'const x = 1;\nfunction judgeFlow() {}', 2],
    ['in a constant', 'lab/a.sh', 'MEND_NODE=1', 1],
    ['in a message', 'lab/a.ts', "throw new Error('it is no JSON')", 1],
    ['in the title of a test', 'test/a.ts', "it('continues by itself', () => undefined);", 1],
    ['as a genitive', 'docs/a.md', "A pod of Cilium's that runs.", 1],
  ])('is found %s', (_, file, text, line) => {
    expect(findDialect(file, text)).toEqual([expect.objectContaining({ file, line })]);
  });

  it('is reported with its place and its replacement', () => {
    expect(findDialect('docs/a.md', 'made anew').map(describeHit)).toEqual([
      'docs/a.md:1: "made anew"; use: again, recreated',
    ]);
  });

  it.each(["The rules of Calico's agents.", 'The amendment.', 'const tellers = 1;', 'wait for everything'])(
    'is not found in %j',
    (text) => {
      expect(findDialect('docs/a.md', text)).toEqual([]);
    }
  );

  it('is allowed in the column of CONTRIBUTING.md that lists it', () => {
    const table = '| avoid | use |\n| --- | --- |\n| mend | fix |\n\n';

    expect(findDialect('CONTRIBUTING.md', table)).toEqual([]);
    expect(findDialect('CONTRIBUTING.md', table.replace('fix', 'mend'))).toHaveLength(1);
  });
});
