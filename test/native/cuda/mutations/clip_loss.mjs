// Broken copies of the contrastive loss that clip_loss_test must catch.
export const mutations = [
  {
    file: "clip_loss/forward.cu",
    changes: [
      ["no wait for a step's rows", "      copy_wait<0>();\n", ""],
      ["no barrier after the wait", "copy_wait<0>();\n      block_barrier();\n", "copy_wait<0>();\n"],
      ["one stage instead of two", "fetch(stage ^ 1,", "fetch(stage,"],
      [
        "no barrier before the columns' sums",
        "    block_barrier();\n    gather_columns",
        "    gather_columns",
      ],
      ["no barrier after the columns' sums", "gathered);\n    block_barrier();\n", "gathered);\n"],
      [
        "no barrier after the rows' sums",
        "  block_barrier();\n  if (thread_index() < side && thread_index() < at.rows())",
        "  if (thread_index() < side && thread_index() < at.rows())",
      ],
      ["sums of one row too many", "thread_index() < at.rows())", "thread_index() <= at.rows())"],
      ["scores outside the batch", "row < rows && column < columns", "row <= rows && column <= columns"],
      [
        "16 bytes of shared memory too few",
        "stages_bytes = 2 * block::stage_bytes",
        "stages_bytes = 2 * block::stage_bytes - 16",
      ],
    ],
  },
  {
    file: "clip_loss/score_tile.cuh",
    kernels: ["clip_loss/forward.cu"],
    changes: [
      ["rows past the batch", "first_row + row < from.batch", "first_row + row <= from.batch"],
      ["products of the second parts left out", "p < Parts - q;", "p < 1;"],
    ],
  },
  {
    file: "clip_loss/split.cu",
    changes: [["only the first part is read", "*inexact = 1;", "*inexact = 0;"]],
  },
  {
    file: "clip_loss/backward.cu",
    changes: [
      ["no wait for a step's rows", "    copy_wait<0>();\n", ""],
      ["no barrier after the wait", "copy_wait<0>();\n    block_barrier();\n", "copy_wait<0>();\n"],
      ["one stage instead of two", "int(step % 2) *", "0 *"],
      ["no pair on the diagonal", "if (row == column) g -= 2 * factor;", ""],
      ["weights of one part", "        scores::multiply_pair(c[n], c[n + 1], low, b);\n", ""],
      [
        "gradient stored past the last column",
        "column < p.embedding)\n            p.gradient",
        "column <= p.embedding)\n            p.gradient",
      ],
    ],
  },
];
