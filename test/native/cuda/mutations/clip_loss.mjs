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
    ],
  },
  {
    file: "clip_loss/score_tile.cuh",
    kernels: ["clip_loss/forward.cu"],
    changes: [["products of the second parts left out", "p < Parts - q;", "p < 1;"]],
  },
  {
    file: "clip_loss/split.cu",
    changes: [["only the first part is read", "*inexact = 1;", "*inexact = 0;"]],
  },
  {
    file: "clip_loss/backward.cu",
    changes: [
      ["one stage instead of two", "int(step % 2) *", "0 *"],
      ["no pair on the diagonal", "if (row == column) g -= 2 * factor;", ""],
    ],
  },
];
