// Broken copies of the optimizers that optimizer_test must catch.
const OPTIMIZER = "optimizer.cu";

export const mutations = [
  {
    file: "update_rule.cuh",
    kernels: [OPTIMIZER],
    changes: [
      ["one element too many", "return min(tensor.count,", "return min(tensor.count + 1,"],
      [
        "four elements at once behind the end",
        "(end - tile.begin) / 4 * 4",
        "(end - tile.begin + 3) / 4 * 4",
      ],
      ["no barrier behind the shared rule", "  block_barrier();\n", ""],
      ["second moment of the unclipped gradient", "g * g * r.rest2", "e.gradient * e.gradient * r.rest2"],
      ["moves by a norm that is no number", "fabs(norm) < double(INFINITY)", "true"],
    ],
  },
  {
    file: OPTIMIZER,
    changes: [
      [
        "shared memory for the rule forgotten",
        "lamb_shared_bytes = double_scratch_bytes + rule_bytes",
        "lamb_shared_bytes = double_scratch_bytes",
      ],
      [
        "sums of the first tensor's tiles",
        "p.tile_sums[tensor.first_tile + i].update",
        "p.tile_sums[i].update",
      ],
      ["ratio of tensors that have none", "tensor.adapt == 0 || ", ""],
      ["ratio without limits", "min(max(ratio, 0.01), 10.0)", "ratio"],
      [
        "a NaN clamped away",
        "x < minimum ? minimum : x > maximum ? maximum : x",
        "x > minimum ? x < maximum ? x : maximum : minimum",
      ],
      [
        "a sum of squares over one tile",
        "i < tiles; i += threads) sum += sums[i]",
        "i < 1; i += threads) sum += sums[i]",
      ],
    ],
  },
  {
    file: "tensor_tiles.cu",
    changes: [["a tensor that moved is not noticed", "now.parameter == before.parameter && ", ""]],
  },
];
