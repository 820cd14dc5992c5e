/** The fewest letters to insert, remove or replace that make one text the other (Levenshtein 1966). */
export function editDistance(from: string, to: string): number {
  let row = Array.from({ length: to.length + 1 }, (_, j) => j);
  for (let i = 1; i <= from.length; i++) {
    const next = [i];
    for (let j = 1; j <= to.length; j++) {
      const replaced = row[j - 1]! + (from[i - 1] === to[j - 1] ? 0 : 1);
      next.push(Math.min(replaced, row[j]! + 1, next[j - 1]! + 1));
    }
    row = next;
  }
  return row[to.length]!;
}

/** The known name that a mistyped one most likely means: at most a third of its letters differ. */
export function suggestionFor(name: string, known: readonly string[]): string | undefined {
  // A name of thousands of letters is no typing mistake, and the table of distances is quadratic.
  if (name.length > 100) return undefined;
  const wanted = name.toLowerCase();
  const [nearest] = known
    .map((candidate) => ({ candidate, distance: editDistance(wanted, candidate.toLowerCase()) }))
    .filter(({ candidate, distance }) => distance <= Math.max(name.length, candidate.length) / 3)
    .sort((a, b) => a.distance - b.distance);
  return nearest?.candidate;
}
