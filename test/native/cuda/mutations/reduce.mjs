// Broken copies of the sums and softmaxes that reduce_test must catch.
export const mutations = [
  {
    file: "reduce.cu",
    changes: [
      ["no barrier before the sum over slices", "  block_barrier();\n", ""],
      ["a slice skipped", "slice = 1;", "slice = 2;"],
      ["the last part not shortened", "min(length, count - first)", "length"],
    ],
  },
  {
    file: "elements.cuh",
    kernels: ["reduce.cu"],
    changes: [
      [
        "overlapping groups",
        "i = int64_t(device::thread_index()) * Width; i < columns",
        "i = int64_t(device::thread_index()); i < columns",
      ],
      [
        "both halves of a group from the first",
        "*reinterpret_cast<const float_quad*>(from + i)",
        "*reinterpret_cast<const float_quad*>(from)",
      ],
    ],
  },
  {
    file: "device/reduce.cuh",
    kernels: ["reduce.cu"],
    changes: [
      [
        "block_sum: scratch reused without a barrier",
        "  value = warp_sum(value);\n  block_barrier();\n",
        "  value = warp_sum(value);\n",
      ],
      ["block_sum: no barrier before the sum", "  block_barrier();\n  T total", "  T total"],
    ],
  },
];
