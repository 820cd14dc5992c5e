// Broken copies of the contrastive loss that clip_loss_test must catch.
const FORWARD = "clip_loss/forward.cu";
const WEIGHTS = "clip_loss/weights.cu";

export const mutations = [
  {
    file: "clip_loss/score_tile.cuh",
    kernels: [FORWARD],
    changes: [
      ["no wait for a step's rows", "        device::copy_wait<Block::stages - 2>();\n", ""],
      [
        "no barrier after the wait",
        "        device::block_barrier();\n        fetch(before);",
        "        fetch(before);",
      ],
      ["the next step's rows over this one's", "fetch(before);", "fetch(stage);"],
      ["products of the second parts left out", "p < Parts - q;", "p < 1;"],
    ],
  },
  {
    file: FORWARD,
    changes: [
      [
        "no barrier before the columns' sums",
        "        block_barrier();\n        kernel::gather_columns",
        "        kernel::gather_columns",
      ],
      [
        "no barrier after the columns' sums",
        "        block_barrier();\n        kernel::finish_columns",
        "        kernel::finish_columns",
      ],
      [
        "no barrier before the rows' sums",
        "        block_barrier();\n        kernel::finish_rows",
        "        kernel::finish_rows",
      ],
      ["rows past the batch", "first_row + i < batch;", "first_row + i <= batch;"],
    ],
  },
  {
    file: WEIGHTS,
    changes: [
      [
        "a weight on the diagonal",
        "if (row == column || row >= batch || column >= batch)",
        "if (row >= batch || column >= batch)",
      ],
    ],
  },
];
