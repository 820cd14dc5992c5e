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
      [
        "half of the rows not loaded",
        "chunks; i += device::block_threads()) {\n    const int row = i / chunks, chunk = i % chunks, token = begin + row;\n    const bool",
        "chunks / 2; i += device::block_threads()) {\n    const int row = i / chunks, chunk = i % chunks, token = begin + row;\n    const bool",
      ],
      ["RoPE on the class token", "token == 0 || token >= h.tokens", "token >= h.tokens"],
    ],
  },
  {
    file: RESIDENT,
    changes: [
      ["no barrier after RoPE", "  block_barrier();\n\n  const int g", "\n  const int g"],
      ["no wait for Q and K", "  copy_wait<1>();\n", ""],
      ["one commit missing", "  copy_commit();\n  copy_wait<1>();\n", "  copy_wait<1>();\n"],
      ["no wait for V", "      copy_wait<0>();\n", ""],
      ["no barrier after V", "copy_wait<0>();\n      block_barrier();\n", "copy_wait<0>();\n"],
      [
        "a barrier only for warps with work",
        "copy_wait<0>();\n      block_barrier();\n",
        "copy_wait<0>();\n      if (keys > 0) block_barrier();\n",
      ],
      [
        "16 bytes of shared memory too few",
        "bytes(16 * KeyTiles);\n  if",
        "bytes(16 * KeyTiles) - 16;\n  if",
      ],
    ],
  },
  {
    file: "attention/softmax.cuh",
    kernels: [RESIDENT],
    changes: [
      ["no warp barrier before the output", "    device::warp_barrier();\n#pragma unroll", "#pragma unroll"],
      ["no warp barrier after the output", "    device::warp_barrier();\n    for", "    for"],
      ["mask off by one", "+ i <= last", "+ i < last"],
      ["values not transposed", "value.load_b_transposed(", "value.load_b("],
      ["output stored past the last token", "token + offset < h.tokens", "token + offset <= h.tokens"],
    ],
  },
  {
    file: STREAMING,
    changes: [
      ["no barrier before the next keys", "      block_barrier();  // the last", "      // the last"],
      ["output not rescaled to the new maximum", "*= rescale;", "*= 1;"],
    ],
  },
  {
    file: RESIDENT_BACKWARD,
    changes: [
      ["no barrier after delta", "    }\n  }\n  block_barrier();\n", "    }\n  }\n"],
      ["no barrier before dQ", "    block_barrier();  // one", "    // one"],
      ["dS not double-buffered", "first / chunk_queries % 2 *", "0 *"],
    ],
  },
  {
    file: "attention/gradient.cuh",
    kernels: [RESIDENT_BACKWARD],
    changes: [
      ["inverse RoPE on the gradient of values", "if (which != part::value)", "if (which != part::query)"],
    ],
  },
  {
    file: STREAMING_BACKWARD,
    changes: [
      ["no barrier before the next rows", "    block_barrier();  // the rows", "    // the rows"],
      ["no barrier before the queries' statistics", "  block_barrier();  // dout", "  // dout"],
      ["no barrier after the loads", "begin);\n    block_barrier();\n", "begin);\n"],
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
    changes: [["first row of the padding not cleared", "used * row_bytes", "(used + 1) * row_bytes"]],
  },
];
