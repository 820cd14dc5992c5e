// Broken copies of the optimizers that optimizer_test must catch.
const OPTIMIZER = "optimizer/optimizer.cu";

export const mutations = [
  {
    file: "optimizer/update_rule.cuh",
    kernels: [OPTIMIZER],
    changes: [
      ["one element too many", "return min(tensor.count,", "return min(tensor.count + 1,"],
      ["no barrier after the shared rule", "  block_barrier();\n", ""],
    ],
  },
  {
    file: OPTIMIZER,
    changes: [
      [
        "no shared memory for the rule",
        "lamb_shared_bytes = double_scratch_bytes + rule_bytes",
        "lamb_shared_bytes = double_scratch_bytes",
      ],
      [
        "sums of the first tensor's tiles",
        "p.tile_sums[tensor.first_tile + i].update",
        "p.tile_sums[i].update",
      ],
      [
        "learning rate of the first tensor",
        "double(p.shared.learning_rates[tile.tensor])",
        "double(p.shared.learning_rates[0])",
      ],
      ["averages of a norm that is not finite", "if (!(fabs(double(*norm)) < double(INFINITY))) return;", ""],
      [
        "averages without the last elements",
        "wide_end + thread_index(); i < end; i += threads",
        "wide_end + thread_index(); i < wide_end; i += threads",
      ],
      ["trust ratio not clamped", "min(max(ratio, 0.01), 10.0)", "ratio"],
    ],
  },
  {
    file: "optimizer/tensor_tiles.cu",
    changes: [["a moved tensor not noticed", "current.parameter == previous.parameter && ", ""]],
  },
];
