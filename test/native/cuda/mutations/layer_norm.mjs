// Broken copies of layer norm and of what it shares with others that layer_norm_test must catch.
const LAYER_NORM = "layer_norm.cu";

export const mutations = [
  {
    file: LAYER_NORM,
    changes: [
      [
        "a sum after threads without columns have left",
        "    const float mean = p.centred",
        "    if (first_column(0) >= p.columns) return;\n    const float mean = p.centred",
      ],
      ["variance over the padding", "if (i < count) squares", "squares"],
      [
        "one block's partial sums over another's",
        "p.weight_partials + int64_t(block_index()) *",
        "p.weight_partials + 0 *",
      ],
    ],
  },
  {
    file: "row_block.cuh",
    kernels: [LAYER_NORM],
    changes: [["loads one column too many", "x[i] = column + i < columns", "x[i] = column + i <= columns"]],
  },
  {
    file: "device/reduce.cuh",
    kernels: [LAYER_NORM],
    changes: [
      [
        "block_sum: scratch used again without a barrier",
        "  value = warp_sum(value);\n  block_barrier();\n",
        "  value = warp_sum(value);\n",
      ],
      ["block_sum: no barrier before the sum", "  block_barrier();\n  T total", "  T total"],
    ],
  },
  {
    file: "column_sums.cu",
    changes: [
      ["no barrier before the warps' sums", "  block_barrier();\n", ""],
      [
        "one column too many",
        "warp_index() != 0 || column >= columns",
        "warp_index() != 0 || column > columns",
      ],
    ],
  },
];
