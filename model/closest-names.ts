/** Maximum length of a name that is compared, in characters; longer names are cut. */
const maxCompared = 100;

/** Returns the names, those that differ least from a mistyped one first. Upper and lower case are the same. */
export function closestNames(mistyped: string, names: readonly string[]): string[] {
  const text = mistyped.slice(0, maxCompared).toLowerCase();
  return names
    .map((name) => ({ name, edits: countEdits(text, name.toLowerCase()) }))
    .sort((a, b) => a.edits - b.edits)
    .map(({ name }) => name);
}

/** Returns the number of characters to insert, delete or replace between two texts (Levenshtein distance). */
function countEdits(from: string, to: string): number {
  let row = Array.from({ length: to.length + 1 }, (_, index) => index);
  for (const [index, character] of [...from].entries()) {
    const next = [index + 1];
    for (let column = 1; column < row.length; column++) {
      const replaced = (row[column - 1] ?? 0) + (character === to[column - 1] ? 0 : 1);
      next.push(Math.min(replaced, (row[column] ?? 0) + 1, (next[column - 1] ?? 0) + 1));
    }
    row = next;
  }
  return row.at(-1) ?? 0;
}
