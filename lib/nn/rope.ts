export interface RopeOptions {
  /** G, the patches along one side of the image. */
  grid: number;
  /** D, a multiple of 4. */
  headDim: number;
  /** The grid that positions are measured on: with `interpolate`, a grid of any size spans 0 … pretrainedGrid. */
  pretrainedGrid?: number;
  /** Scale the positions of a grid of another size to the pretrained one. */
  interpolate?: boolean;
  theta?: number;
}

/**
 * Cosine and sine of t_g θ^(-2k / (D/2)) for coordinate g and frequency k, with t_g = g · pretrainedGrid / G:
 * one axis of EVA-02's 2-D rotary positions (Fang et al. 2023; Su et al. 2021, RoFormer). → [G, D / 4, 2]
 */
export function ropeTable(options: RopeOptions): Float32Array {
  const { grid, headDim, pretrainedGrid = 16, interpolate = true, theta = 10_000 } = options;
  const frequencies = headDim / 4;
  const step = interpolate ? pretrainedGrid / grid : 1;
  const table = new Float32Array(grid * frequencies * 2);
  for (let g = 0, at = 0; g < grid; g++) {
    for (let k = 0; k < frequencies; k++) {
      const angle = g * step * theta ** (-k / frequencies);
      table[at++] = Math.cos(angle);
      table[at++] = Math.sin(angle);
    }
  }
  return table;
}
