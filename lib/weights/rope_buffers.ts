import type { TensorToWrite } from "../io/safetensors";
import type { ClipConfig } from "../models/clip_config";
import { ropeTable } from "../nn/rope";
import { STORED_DTYPES, type WeightDType } from "./weight_dtype";

/**
 * Cosines (0) or sines (1) of every place of the grid, as EVA-CLIP keeps them: the first half of a head's dimensions turns
 * by the row, the second by the column, each frequency for two neighbours. [G, D / 4, 2] → [G², D]
 */
function gridTable(axis: Float32Array, grid: number, headDim: number, part: 0 | 1): Float32Array {
  const half = headDim / 2;
  const at = (place: number, j: number) => axis[(place * (headDim / 4) + (j >> 1)) * 2 + part]!;
  const table = new Float32Array(grid * grid * headDim);
  for (let y = 0, to = 0; y < grid; y++) {
    for (let x = 0; x < grid; x++) {
      for (let j = 0; j < headDim; j++) table[to++] = j < half ? at(y, j) : at(x, j - half);
    }
  }
  return table;
}

/** The tables of rotary positions that EVA-CLIP's checkpoints repeat for the tower and every block (rei/eva_clip/rope.py). */
export function ropeBuffers({ vision_cfg: vision }: ClipConfig, type: WeightDType): TensorToWrite[] {
  if (!vision.rope) return [];
  const { layers, head_width: headDim, pt_hw_seq_len: pretrainedGrid, intp_freq: interpolate } = vision;
  const grid = vision.image_size / vision.patch_size;
  const axis = ropeTable({ grid, headDim, pretrainedGrid, interpolate });
  const modules = ["visual", ...Array.from({ length: layers }, (_, i) => `visual.blocks.${i}.attn`)];
  return modules.flatMap((module) =>
    (["cos", "sin"] as const).map((name, part) => ({
      name: `${module}.rope.freqs_${name}`,
      shape: [grid * grid, headDim],
      dtype: STORED_DTYPES[type],
      from: "F32" as const,
      data: () => gridTable(axis, grid, headDim, part as 0 | 1),
    })),
  );
}
