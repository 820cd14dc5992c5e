/** The edit distance: the minimum number of insertions, deletions and substitutions (Levenshtein 1966). */
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

/** The known name closest to a mistyped one, if at most a third of its characters differ. */
export function suggestionFor(name: string, known: readonly string[]): string | undefined {
  // Edit distance takes quadratic time, and a long input is not a typo.
  if (name.length > 100) return undefined;
  const wanted = name.toLowerCase();
  const [nearest] = known
    .map((candidate) => ({ candidate, distance: editDistance(wanted, candidate.toLowerCase()) }))
    .filter(({ candidate, distance }) => distance <= Math.max(name.length, candidate.length) / 3)
    .sort((a, b) => a.distance - b.distance);
  return nearest?.candidate;
}
