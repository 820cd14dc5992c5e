/** The granularity of GEMM tiles. */
const TILE = 64;
/** Elements of bf16 in 16 bytes, the alignment of rows that a GPU's GEMMs and copies need. */
const ALIGNED = 8;

/** The stored columns of a hidden layer or of patches: padded to a multiple of the tile if rows would be unaligned. */
export function storedColumns(columns: number): number {
  return columns % ALIGNED === 0 ? columns : TILE * Math.ceil(columns / TILE);
}
