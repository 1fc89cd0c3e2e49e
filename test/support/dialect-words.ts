/** A word or phrase that is not plain technical English, and its replacement. */
export interface DialectWord {
  /** Regular expression, matched without case between word boundaries. Identifiers are split into their words before. */
  pattern: string;
  use: string;
}

/** A use of a word that is allowed in one file. */
export interface DialectException {
  file: string;
  /** Lower-case text around the word, as it stands in the file. */
  text: string;
  reason: string;
}

const names = 'calico|canal|cilium|docker|felix|flannel|helm|jest|kubernetes|node|temporal|cluster|lab|migration';
/** Words after which "of Calico's" is not followed by the thing that belongs to Calico. */
const afterGenitive =
  'that|which|who|are|is|was|were|and|or|in|on|for|to|with|at|from|by|before|after|until|when|has|have';

/** The avoided words; the table in CONTRIBUTING.md shows the most frequent ones. */
export const dialectWords: readonly DialectWord[] = [
  { pattern: 'anew', use: 'again, recreated' },
  { pattern: 'mend(s|ed|ing)?', use: 'fix, repair' },
  { pattern: 'tell(s|ing)?|told', use: 'report, return, show, distinguish' },
  { pattern: 'look(s|ed|ing)? at', use: 'check, read, inspect' },
  { pattern: '(go|goes|going|went|gone) on', use: 'continue' },
  { pattern: '(take|takes|taking|taken|took) (it |them )?up(?! to)', use: 'resume, start to use' },
  { pattern: '(take|takes|taking|taken|took) (it |them |this |that |a node )?backs?', use: 'roll back, undo, remove' },
  { pattern: 'besides?', use: 'next to, in addition to' },
  { pattern: 'by (itself|themselves)', use: 'automatically, on its own' },
  { pattern: 'in the place of', use: 'instead of' },
  { pattern: 'for ever|forever', use: 'indefinitely' },
  { pattern: 'what (becomes|became) of', use: 'outcome, state' },
  { pattern: 'ways? back', use: 'rollback, reverse direction' },
  { pattern: '(give|gives|giving|given|gave) (it |them )?back', use: 'restore, uncordon, release' },
  { pattern: 'rights', use: 'permissions' },
  { pattern: 'judg(e|es|ed|ing|ement)', use: 'evaluate' },
  { pattern: 'in step', use: 'in sync' },
  { pattern: '(set|sets|setting) aside', use: 'skip, sideline' },
  { pattern: '(no|not a|not the) fault of', use: 'not caused by' },
  { pattern: 'of (ours|theirs)', use: 'our, their' },
  { pattern: `of (${names})'s(?=[.,;:)]| (${afterGenitive})\\b|$)`, use: 'the name before the noun: Calico policies' },
  { pattern: 'no (json|yaml)(?! schema)', use: 'not valid JSON' },
  { pattern: '(is|are|was|were) no (name|number|lab|fleet|object|url|address)', use: 'is not a …, is not a valid …' },
  { pattern: '(called|calls|call) to mind', use: 'reminded' },
  { pattern: 'whom|whoever|whomever|whatever|whichever', use: 'which, any, the caller' },
  { pattern: 'somebody|anybody|everybody', use: 'the operator, another process, all' },
  { pattern: 'so (many|often|much|long)(?! (as|that))', use: 'maximum number of, interval, duration' },
  { pattern: 'cut-overs?', use: 'cutover' },
  { pattern: 'clean-ups?', use: 'cleanup' },
  { pattern: 'roll-backs?', use: 'rollback' },
  { pattern: '(the|its|their|a|an|from) begins?', use: 'start' },
  { pattern: 'rehears(e|es|ed|al|als|ing)', use: 'dry run' },
  { pattern: '(im)?patien(t|tly|ce)', use: 'timeout, short, long' },
  { pattern: 'without a word', use: 'silently' },
  { pattern: '(make|makes|made|making) no sense', use: 'invalid' },
  { pattern: 'under way', use: 'running, in progress' },
  { pattern: 'side by side', use: 'in parallel' },
  { pattern: 'again and again', use: 'repeatedly' },
  { pattern: 'for good', use: 'permanently' },
  { pattern: '(one|one thing) an? line', use: 'one per line' },
  {
    pattern: '(actions|requests|pods|seconds|times|twice|connections|nodes) a (second|minute|node|pod)',
    use: 'per second',
  },
];

/** Uses that are correct, each with its reason. */
export const dialectExceptions: readonly DialectException[] = [
  { file: 'lab/tools/go-build.ts', text: 'another go on path', reason: 'Go is the compiler' },
  { file: 'test/unit/input.test.ts', text: "on failure: 'roll-back'", reason: 'a former term, which is refused' },
];
