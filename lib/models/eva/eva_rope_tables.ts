import { ropeTable } from "../../nn/rope";
import type { DerivedTensor } from "../image_tower_descriptor";
import type { EvaTowerConfig } from "./eva_tower_config";

/**
 * Cosines (0) or sines (1) of every position of the grid, as EVA-CLIP stores them: the first half of a head's dimensions
 * rotates by the row, the second by the column, each frequency for two neighbors. [G, D / 4, 2] → [G², D]
 */
function gridTable(axis: Float32Array, grid: number, headDim: number, part: 0 | 1): Float32Array {
  const half = headDim / 2;
  const at = (position: number, j: number) => axis[(position * (headDim / 4) + (j >> 1)) * 2 + part]!;
  const table = new Float32Array(grid * grid * headDim);
  for (let y = 0, to = 0; y < grid; y++) {
    for (let x = 0; x < grid; x++) {
      for (let j = 0; j < headDim; j++) table[to++] = j < half ? at(y, j) : at(x, j - half);
    }
  }
  return table;
}

/** The tables of rotary positions that EVA-CLIP's checkpoints repeat in every block (rei/eva_clip/rope.py). */
export function ropeTables(config: EvaTowerConfig): DerivedTensor[] {
  if (!config.rope) return [];
  const { layers, head_width: headDim, pt_hw_seq_len: pretrainedGrid, intp_freq: interpolate } = config;
  const grid = config.image_size / config.patch_size;
  const axis = ropeTable({ grid, headDim, pretrainedGrid, interpolate });
  const modules = ["visual", ...Array.from({ length: layers }, (_, i) => `visual.blocks.${i}.attn`)];
  return modules.flatMap((module) =>
    (["cos", "sin"] as const).map((name, part) => ({
      name: `${module}.rope.freqs_${name}`,
      shape: [grid * grid, headDim],
      data: () => gridTable(axis, grid, headDim, part as 0 | 1),
    })),
  );
}
