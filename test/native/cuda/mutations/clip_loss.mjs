// Broken copies of the contrastive loss that clip_loss_test must catch.
const FORWARD = "clip_loss/forward.cu";
const SCORE_GRADIENTS = "clip_loss/score_gradients.cu";

export const mutations = [
  {
    file: "clip_loss/score_tile.cuh",
    kernels: [FORWARD],
    changes: [
      ["no wait for a stage", "        device::copy_wait<Block::stages - 2>();\n", ""],
      [
        "no barrier after the wait",
        "        device::block_barrier();\n        fetch(previous);",
        "        fetch(previous);",
      ],
      ["the stage in use overwritten", "fetch(previous);", "fetch(stage);"],
      ["products of the second parts skipped", "p < Parts - q;", "p < 1;"],
    ],
  },
  {
    file: FORWARD,
    changes: [
      [
        "no barrier before the reduction of columns",
        "        block_barrier();\n        kernel::reduce_columns",
        "        kernel::reduce_columns",
      ],
      [
        "no barrier after the reduction of columns",
        "        block_barrier();\n        kernel::store_columns",
        "        kernel::store_columns",
      ],
      [
        "no barrier before the reduction of rows",
        "        block_barrier();\n        kernel::store_rows",
        "        kernel::store_rows",
      ],
      ["rows past the batch", "first_row + i < batch;", "first_row + i <= batch;"],
    ],
  },
  {
    file: SCORE_GRADIENTS,
    changes: [
      [
        "the diagonal not masked",
        "if (row == column || row >= batch || column >= batch)",
        "if (row >= batch || column >= batch)",
      ],
    ],
  },
];
