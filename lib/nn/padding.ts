/** The granularity of the tiles that matrix products are computed in. */
const TILE = 64;
/** Elements of bf16 in the 16 bytes that a GPU's matrix products and copies want rows to be aligned to. */
const ALIGNED = 8;

/** The columns that a device holds of a hidden layer: more than there are where its rows would not be aligned. */
export function storedColumns(columns: number): number {
  return columns % ALIGNED === 0 ? columns : TILE * Math.ceil(columns / TILE);
}
