/** The number of elements of a tensor of this shape; 1 for a scalar, []. */
export function elementCount(shape: readonly number[]): number {
  return shape.reduce((product, size) => product * size, 1);
}

/** `shape` with its last dimensions joined, so that `rank` are left. [W, 3, P, P] at rank 2 → [W, 3 P P] */
export function joinLast(shape: readonly number[], rank: number): readonly number[] {
  if (rank < 1 || shape.length <= rank) return shape;
  return [...shape.slice(0, rank - 1), elementCount(shape.slice(rank - 1))];
}
