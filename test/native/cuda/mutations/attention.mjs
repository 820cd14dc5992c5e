// Broken copies of attention that attention_test must catch.
const RESIDENT = "attention/resident_forward.cu";
const STREAMING = "attention/streaming_forward.cu";
const RESIDENT_BACKWARD = "attention/resident_backward.cu";
const STREAMING_BACKWARD = "attention/streaming_backward.cu";

export const mutations = [
  {
    file: "tile.cuh",
    kernels: [RESIDENT],
    changes: [
      ["ldmatrix: rows off by one", "row + lane % 16", "row + (lane + 1) % 16"],
      ["ldmatrix: chunk off by one", "lane / 8 % 2", "(lane / 8 + 1) % 2"],
      ["no swizzle: right, but with bank conflicts", "chunk ^ (row * chunks / 8) % chunks", "chunk"],
      ["a swizzle that is not a permutation", "% chunks : chunk", "% (chunks + 1) : chunk"],
    ],
  },
  {
    file: "attention/head.cuh",
    kernels: [RESIDENT],
    changes: [
      ["one token too many", "valid = token < h.tokens", "valid = token <= h.tokens"],
      ["half of the rows not loaded", "i < count * chunks; i +=", "i < count * chunks / 2; i +="],
      ["output stored past the last token", "if (token + offset >= h.tokens) break;", ""],
      [
        "a row's last chunk not stored",
        "8 * chunk >= h.batch.head_dim) return",
        "8 * chunk + 8 >= h.batch.head_dim) return",
      ],
    ],
  },
  {
    file: "attention/rope.cuh",
    kernels: [RESIDENT],
    changes: [
      ["RoPE on the class token", "token > 0 && token < h.tokens", "token < h.tokens"],
      [
        "row and column of a patch exchanged",
        "column < half_ ? row_ : column_",
        "column < half_ ? column_ : row_",
      ],
    ],
  },
  {
    file: "attention/rope.cuh",
    kernels: [RESIDENT_BACKWARD],
    changes: [
      ["RoPE applied to the gradients again", "angle.first, -angle.second", "angle.first, angle.second"],
    ],
  },
  {
    file: RESIDENT,
    changes: [
      ["no barrier after RoPE", "query, key);\n  block_barrier();\n", "query, key);\n"],
      [
        "no barrier after the positions",
        "positions.compute(h);\n    block_barrier();\n",
        "positions.compute(h);\n",
      ],
      ["no wait for Q and K", "  copy_wait<1>();\n", ""],
      ["one commit missing", "  copy_commit();\n  if (h", "  if (h"],
      ["no wait for V", "      copy_wait<0>();\n", ""],
      ["no barrier after V", "copy_wait<0>();\n      block_barrier();\n", "copy_wait<0>();\n"],
      [
        "a barrier only for warps with work",
        "copy_wait<0>();\n      block_barrier();\n",
        "copy_wait<0>();\n      if (keys > 0) block_barrier();\n",
      ],
      [
        "16 bytes of shared memory too few",
        "positions = 3 * operand_bytes;",
        "positions = 3 * operand_bytes - 16;",
      ],
    ],
  },
  {
    file: "attention/softmax.cuh",
    kernels: [RESIDENT],
    changes: [
      ["no warp barrier before the output", "    device::warp_barrier();\n    store_acc", "    store_acc"],
      ["no warp barrier after the output", "    device::warp_barrier();\n    store_rows", "    store_rows"],
      ["mask off by one", "+ i <= last", "+ i < last"],
      ["values not transposed", "value.load_b_transposed(", "value.load_b("],
    ],
  },
  {
    file: STREAMING,
    changes: [
      ["no barrier before the next queries", "  block_barrier();  // the output", "  // the output"],
      ["no barrier before the keys are read", "    block_barrier();  // this tile", "    // this tile"],
      ["no wait for the next keys", "    copy_wait<0>();\n    apply_rope", "    apply_rope"],
      ["not double-buffered", "first / block_n % 2,", "0,"],
      ["output not rescaled to the new maximum", "*= rescale;", "*= 1;"],
    ],
  },
  {
    file: RESIDENT_BACKWARD,
    changes: [
      ["no barrier after delta", "[](int, float) {});\n    block_barrier();\n", "[](int, float) {});\n"],
      ["no barrier before dQ", "    block_barrier();  // one", "    // one"],
      ["no barrier after dQ", "    block_barrier();  // dQ", "    // dQ"],
      ["dS not double-buffered", "first / chunk_queries % 2 *", "0 *"],
      [
        "no barrier before the shared tile is stored",
        "      block_barrier();\n      if (warp_index() == 0) {",
        "      if (warp_index() == 0) {",
      ],
      ["every warp stores dS of the shared tile", " || (i == split::owned && warp_index() > 0)", ""],
      ["the scale of 1 / √D missing from dQ", "multiply_by(d_query, h.batch.scale);", ""],
    ],
  },
  {
    file: "attention/gradient.cuh",
    kernels: [RESIDENT_BACKWARD],
    changes: [
      [
        "no warp barrier before a gradient is stored",
        "  device::warp_barrier();\n  store_rows",
        "  store_rows",
      ],
      ["no barrier before the column sums are added", "  device::block_barrier();\n  for", "  for"],
      ["the last row of lanes not added", "row < lanes::rows; ++row", "row < lanes::rows - 1; ++row"],
    ],
  },
  {
    file: STREAMING_BACKWARD,
    changes: [
      ["no barrier before the next rows", "    block_barrier();  // the rows", "    // the rows"],
      ["no barrier before the queries' statistics", "      block_barrier();  // dout", "      // dout"],
      ["no barrier after the loads", "      block_barrier();  // this tile", "      // this tile"],
      ["not double-buffered", "/ block_n % 2, next", "* 0, next"],
    ],
  },
  {
    file: "attention/plain_forward.cu",
    changes: [["no barrier before the next keys", "      block_barrier();\n      if", "      if"]],
  },
  {
    file: "attention/plain.cuh",
    kernels: ["attention/plain_forward.cu"],
    changes: [["rows past the last token", "if (token < h.tokens) {", "if (token <= h.tokens) {"]],
  },
  {
    file: "attention/plain_backward.cu",
    changes: [
      [
        "a shuffle after lanes have exited",
        "      const float partner = shuffle_xor(gradient[r][s], 1);\n      if (token + r >= h.tokens || column >= h.batch.head_dim) continue;\n",
        "      if (token + r >= h.tokens || column >= h.batch.head_dim) continue;\n      const float partner = shuffle_xor(gradient[r][s], 1);\n",
      ],
    ],
  },
  {
    file: "attention/attention.cu",
    changes: [["first row of the padding not cleared", "used * row_words", "(used + 1) * row_words"]],
  },
];
