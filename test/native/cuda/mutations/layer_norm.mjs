// Broken copies of layer norm and the code it shares with other ops that layer_norm_test must catch.
const LAYER_NORM = "layer_norm.cu";

export const mutations = [
  {
    file: LAYER_NORM,
    changes: [
      [
        "block_sum after threads without columns have exited",
        "    const float mean = p.is_centered",
        "    if (first_column(0) >= p.columns) return;\n    const float mean = p.is_centered",
      ],
      ["variance including the padding", "if (i < count) squares", "squares"],
      [
        "partial sums of all blocks at the same address",
        "p.weight_partials + int64_t(block_index()) *",
        "p.weight_partials + 0 *",
      ],
    ],
  },
  {
    file: "row_block.cuh",
    kernels: [LAYER_NORM],
    changes: [["one column too many loaded", "x[i] = column + i < columns", "x[i] = column + i <= columns"]],
  },
  {
    file: "device/reduce.cuh",
    kernels: [LAYER_NORM],
    changes: [
      [
        "block_sum: scratch reused without a barrier",
        "  value = warp_sum(value);\n  block_barrier();\n",
        "  value = warp_sum(value);\n",
      ],
      ["block_sum: no barrier before the sum", "  block_barrier();\n  T total", "  T total"],
    ],
  },
  {
    file: "column_sums.cu",
    changes: [
      ["no barrier before the sum over warps", "  block_barrier();\n", ""],
      [
        "one column too many",
        "warp_index() != 0 || column >= columns",
        "warp_index() != 0 || column > columns",
      ],
    ],
  },
];
