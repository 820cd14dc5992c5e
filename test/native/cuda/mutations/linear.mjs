// Broken copies of what runs around matrix products that linear_test must catch.
const LINEAR = "linear/linear.cu";

export const mutations = [
  {
    file: LINEAR,
    changes: [
      [
        "a residual without the activation's pass",
        "activate<Activation>(x[j]) + added[j]",
        "activate<Activation>(x[j] + added[j])",
      ],
      ["biases of the first weight", "rounded + columns_[i], count", "rounded, count"],
      ["y without its pass behind pre", "(needs_pass_ || args_.pre.data)", "needs_pass_"],
      ["dx of the last weight alone", ".has_addend = i > 0}", ".has_addend = false}"],
      ["dbias of the first columns", "a.dy.as<const T>() + a.begin", "a.dy.as<const T>()"],
      ["a batch of equal matrices", "m.batch_stride = t.dim(-2) * t.dim(-1)", "m.batch_stride = 0"],
    ],
  },
  {
    file: "linear/column_sums.cuh",
    kernels: [LINEAR],
    changes: [
      ["no barrier before the warps' sums", "  device::block_barrier();\n", ""],
      [
        "one column too many",
        "warp_index() != 0 || column >= columns",
        "warp_index() != 0 || column > columns",
      ],
      ["rows as wide as the sums", "from + row * row_stride", "from + row * columns"],
    ],
  },
];
