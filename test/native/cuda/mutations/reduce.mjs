// Broken copies of the sums and softmaxes that reduce_test must catch.
export const mutations = [
  {
    file: "reduce.cu",
    changes: [
      ["no barrier before the slices' sum", "  block_barrier();\n", ""],
      ["a slice left out", "slice = 1;", "slice = 2;"],
      ["the last part as long as the others", "min(length, count - first)", "length"],
    ],
  },
  {
    file: "elements.cuh",
    kernels: ["reduce.cu"],
    changes: [
      [
        "threads start where their neighbours do",
        "i = int64_t(device::thread_index()) * Width; i < columns",
        "i = int64_t(device::thread_index()); i < columns",
      ],
      [
        "the second half of a group from the first",
        "*reinterpret_cast<const float_quad*>(from + i)",
        "*reinterpret_cast<const float_quad*>(from)",
      ],
    ],
  },
];
