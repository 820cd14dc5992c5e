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
      ["dx of the last weight alone", ".has_addend = i > 0}", ".has_addend = false}"],
      ["dbias of the first columns", "a.dy.as<const T>() + a.begin", "a.dy.as<const T>()"],
    ],
  },
  {
    file: "column_sums.cuh",
    kernels: [LINEAR],
    changes: [["no barrier before the warps' sums", "  device::block_barrier();\n", ""]],
  },
];
