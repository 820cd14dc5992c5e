// Broken copies of layer norm and the code it shares with other ops that layer_norm_test must catch.
const LAYER_NORM = "layer_norm.cu";

export const mutations = [
  {
    file: LAYER_NORM,
    changes: [
      ["variance including the padding", "if (i < count) squares[0]", "squares[0]"],
      [
        "partial sums of all blocks at the same address",
        "p.partials + 3 * block_index() *",
        "p.partials + 0 * block_index() *",
      ],
      ["sums of dx not cleared", "  dx_sums.clear();", ""],
      ["y without the bias", "if (p.bias) load_group(y,", "if (false) load_group(y,"],
    ],
  },
  {
    file: "row_team.cuh",
    kernels: [LAYER_NORM],
    changes: [
      ["one column too many loaded", "x[i] = column + i < columns", "x[i] = column + i <= columns"],
      [
        "the last row of a team skipped",
        "if (row + stride < rows) next",
        "if (row + 2 * stride < rows) next",
      ],
      [
        "sums of dx before rounding",
        "packed.store(row, column, columns, aligned);\n  packed.unpack(x);",
        "packed.store(row, column, columns, aligned);",
      ],
      ["both sums of a block in one buffer", "buffer_ = 1 - buffer_;", ""],
      [
        "block's sums without a barrier",
        "    device::block_barrier();\n#pragma unroll\n    for (int i",
        "#pragma unroll\n    for (int i",
      ],
      ["sums of the block's first warp", "warp < teams(); ++warp)", "warp < 1; ++warp)"],
      [
        "column sums before the warps have stored them",
        "    device::block_barrier();\n    for (int group = index()",
        "    for (int group = index()",
      ],
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
      ["the first of the outputs only", "first = ranges.first[i];", "first = 0;"],
    ],
  },
];
