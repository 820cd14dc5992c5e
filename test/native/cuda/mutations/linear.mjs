// Broken copies of the code around GEMMs that linear_test must catch.
const LINEAR = "linear/linear.cu";

export const mutations = [
  {
    file: LINEAR,
    changes: [
      [
        "the residual inside the activation",
        "activate<Activation>(x[j]) + added[j]",
        "activate<Activation>(x[j] + added[j])",
      ],
      ["biases of all weights at the first column", "rounded + columns_[i], count", "rounded, count"],
      ["dx not accumulated over weights", ".has_addend = i > 0}", ".has_addend = false}"],
      ["dbias of the first weight's columns", "a.dy.as<const T>() + a.begin", "a.dy.as<const T>()"],
    ],
  },
  {
    file: "column_sums.cuh",
    kernels: [LINEAR],
    changes: [["no barrier before the sum over warps", "  device::block_barrier();\n", ""]],
  },
];
