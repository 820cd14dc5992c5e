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
      ["an unrounded bias", "rounded_bias_.data() ? rounded_bias_.data() : a.bias.data", "a.bias.data"],
    ],
  },
  {
    file: "column_sums.cuh",
    kernels: [LINEAR],
    changes: [["no barrier before the sum over warps", "  device::block_barrier();\n", ""]],
  },
  {
    file: "linear/gemm.cpp",
    changes: [
      [
        "a stride shorter than its column",
        "std::max(stored.column_stride, stored.rows)",
        "stored.column_stride",
      ],
      [
        "the leading dimension of packed columns",
        "std::max(stored.column_stride, stored.rows)",
        "stored.rows",
      ],
      [
        "operands not exchanged",
        "set(transpose_a, is_row_major(problem.b)",
        "set(transpose_a, is_row_major(problem.a)",
      ],
      ["one matrix of a batch", "const auto count = int32_t(m.batch);", "const auto count = int32_t(1);"],
      ["always an addend", "problem.has_addend ? 1.0f : 0.0f", "1.0f"],
      ["sums in any order", "  prefer(reduction_scheme_mask, uint32_t(reduce_in_compute_type));\n", ""],
      ["alignments not stated", "  prefer(alignment_a, alignment_of(sample.b));\n", ""],
    ],
  },
  {
    file: "linear/cublaslt.h",
    kernels: ["linear/gemm.cpp"],
    changes: [
      ["an attribute's number", "batch_stride = 6", "batch_stride = 4"],
      ["an epilogue's number", "add_bias = 4", "add_bias = 2"],
    ],
  },
];
